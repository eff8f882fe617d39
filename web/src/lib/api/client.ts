// The manager's API, call by call. The page holds no credentials: `tessera web` adds them on the way.

import type {
  CertificateInfo, Collected, CreatedToken, Farm, FarmSettings, FrameError, FrameResult, FrameStatus, JobAction, JobDetail, JobEdit,
  JobId, JobSettings, JobSummary, NewPairing, NewToken, Overrides, Page, Pairing, Problem, Pyramid, ReceiverInfo, ReceiverInput, SettingsPatch, Stored, StoreReport, Submitted, TestReport,
  TokenInfo, Utilisation, Why, WorkerAction, WorkerId, WorkerStatus,
} from "./types";

/** Most entries that the manager gives at once. */
export const PAGE_MAX = 1000;

/** Why a request came to nothing. Status 0: nobody answered. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  /** Whether nobody answers, and not whether the request was wrong. */
  get isLost(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503;
  }

  get isLocked(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw lost();
  }
  if (response.ok) return response;
  throw refusal(response.status, response.statusText, await response.text());
}

function refusal(status: number, statusText: string, text: string): ApiError {
  const problem = parse(text);
  return new ApiError(status, problem?.title ?? (text.trim() || statusText), problem?.detail ?? "");
}

const lost = () => new ApiError(0, "the manager cannot be reached", "the page tries again by itself");

function parse(text: string): Problem | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "title" in value ? (value as Problem) : null;
  } catch {
    return null;
  }
}

async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(method, path, body, signal);
  return (await response.json()) as T;
}

const get = <T>(path: string, signal?: AbortSignal) => ask<T>("GET", path, undefined, signal);
const post = <T>(path: string, body: unknown, signal?: AbortSignal) => ask<T>("POST", path, body, signal);

/** A job as it is submitted: what is left out has the farm's defaults. */
export interface NewJob {
  settings: Partial<JobSettings> & { name: string };
  manifest: string;
  main_file: string;
  file_version: string;
  steps: { kind: { render: Partial<Overrides> }; frames: string }[];
}

export const api = {
  farm: () => get<Farm>("farm"),
  utilisation: () => get<Utilisation>("farm/utilisation"),
  settings: () => get<FarmSettings>("settings"),
  editSettings: (patch: SettingsPatch) => ask<FarmSettings>("PATCH", "settings", patch),

  workers: () => get<Page<WorkerStatus>>("workers"),
  workerWhy: (worker: WorkerId) => get<Why>(`workers/${worker}/why`),
  workerAct: (worker: WorkerId, action: WorkerAction) => post<WorkerStatus>(`workers/${worker}/actions`, action),

  jobs: (after: number | null | undefined) => get<Page<JobSummary>>(`jobs?limit=${PAGE_MAX}${typeof after === "number" ? `&after=${after}` : ""}`),
  job: (job: JobId) => get<JobDetail>(`jobs/${job}`),
  jobWhy: (job: JobId) => get<Why>(`jobs/${job}/why`),
  jobAct: (job: JobId, action: JobAction) => post<JobDetail>(`jobs/${job}/actions`, action),
  jobEdit: (job: JobId, edit: JobEdit) => ask<JobDetail>("PATCH", `jobs/${job}`, edit),
  jobRemove: async (job: JobId) => void (await send("DELETE", `jobs/${job}`)),
  frames: (job: JobId, from: number, limit = PAGE_MAX) => get<Page<FrameStatus>>(`jobs/${job}/frames?from=${from}&limit=${limit}`),
  results: (job: JobId, from: number, limit = PAGE_MAX) => get<Page<FrameResult>>(`jobs/${job}/results?from=${from}&limit=${limit}`),
  parts: (job: JobId, frame: number, from: number) => get<Page<FrameResult>>(`jobs/${job}/frames/${frame}/parts?from=${from}&limit=${PAGE_MAX}`),
  errors: (job: JobId) => get<Page<FrameError>>(`jobs/${job}/errors?limit=${PAGE_MAX}`),

  /** Sends a file and tells how many of its bytes have gone. Its name on the farm. */
  putFile: (file: File, told: (bytes: number) => void, signal: AbortSignal) =>
    new Promise<string>((done, failed) => {
      // What `fetch` has sent of a body, it does not tell.
      const request = new XMLHttpRequest();
      request.open("PUT", "/api/v1/files");
      request.setRequestHeader("content-type", "application/octet-stream");
      request.upload.onprogress = ({ loaded }) => told(loaded);
      request.onload = () => {
        if (request.status === 200) done((JSON.parse(request.responseText) as Stored).blob);
        else failed(refusal(request.status, request.statusText, request.responseText));
      };
      request.onerror = () => failed(new ApiError(0, "the file did not arrive", "it can no longer be read here, or the link to the manager was cut: try again"));
      request.onabort = () => failed(signal.reason);
      signal.addEventListener("abort", () => request.abort());
      if (signal.aborted) failed(signal.reason);
      else request.send(file);
    }),
  putTree: async (files: { path: string; blob: string }[], signal: AbortSignal) => (await post<Stored>("trees", { files }, signal)).blob,
  submit: async (job: NewJob, signal: AbortSignal) => (await post<Submitted>("jobs", job, signal)).job,

  receivers: () => get<Page<ReceiverInfo>>("receivers"),
  setReceiver: (name: string, input: ReceiverInput) => ask<ReceiverInfo>("PUT", `receivers/${encodeURIComponent(name)}`, input),
  removeReceiver: async (name: string) => void (await send("DELETE", `receivers/${encodeURIComponent(name)}`)),
  testReceiver: (name: string) => post<TestReport>(`receivers/${encodeURIComponent(name)}/test`, {}),

  newPairing: (wanted: NewPairing) => post<Pairing>("pairings", wanted),
  tokens: () => get<Page<TokenInfo>>("tokens"),
  newToken: (wanted: NewToken) => post<CreatedToken>("tokens", wanted),
  revokeToken: async (id: string) => void (await send("DELETE", `tokens/${encodeURIComponent(id)}`)),
  certificates: () => get<Page<CertificateInfo>>("certificates"),
  revokeCertificate: async (serial: string) => void (await send("DELETE", `certificates/${encodeURIComponent(serial)}`)),

  store: () => get<StoreReport>("store"),
  collect: () => post<Collected>("store/collect", {}),

  /** Bytes of a log from an offset on, and whether nothing will follow. */
  async log(job: JobId, frame: number, stream: "stdout" | "stderr", from: number): Promise<{ bytes: Uint8Array; complete: boolean }> {
    const response = await send("GET", `jobs/${job}/frames/${frame}/log?stream=${stream}&from=${from}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { bytes, complete: response.headers.get("tessera-log-complete") === "true" };
  },

  /** The name of all of a frame in tiles, once a worker has made it. */
  async pyramid(job: JobId, frame: number, file: string, signal: AbortSignal): Promise<string> {
    for (;;) {
      const made = await get<Pyramid>(`jobs/${job}/frames/${frame}/pyramid?file=${encodeURIComponent(file)}`, signal);
      if (made.blob) return made.blob;
    }
  },

  /** Bytes of a file. */
  async bytes(blob: string, from: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const response = await send("GET", `files/${blob}?from=${from}&length=${length}`, undefined, signal);
    return new Uint8Array(await response.arrayBuffer());
  },

  /** A frame's picture. The digest of what is wanted keeps a browser from showing an older one. */
  async picture(job: JobId, frame: number, size: "thumbnail" | "preview", signal?: AbortSignal): Promise<Blob> {
    const response = await fetch(previewUrl(job, frame, size), { signal: signal ?? null });
    if (!response.ok) throw new ApiError(response.status, "there is no picture", "");
    return response.blob();
  },
};

export function previewUrl(job: JobId, frame: number, size: "thumbnail" | "preview"): string {
  return `/api/v1/jobs/${job}/frames/${frame}/preview?size=${size}`;
}

/** Where a list of frames is read on from: the step in the upper half, the position in the lower. */
export function cursor(step: number, position: number): number {
  return step * 2 ** 32 + position;
}
