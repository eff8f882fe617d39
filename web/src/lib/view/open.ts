// Opens what is to be looked at.

import { api, ApiError } from "../api/client";
import type { JobId } from "../api/types";
import { Light } from "./light";
import { mainPass, type Tile } from "./pyramid";
import type { Seen } from "./stage";

export interface Watched {
  changed: () => void;
  gone: (what: Tile) => void;
  signal: AbortSignal;
}

/** The light of a frame's file. */
export async function openLight(job: JobId, frame: number, file: string, { changed, gone, signal }: Watched): Promise<Seen> {
  const blob = await api.pyramid(job, frame, file, signal);
  const fetch = async (from: number, length: number) => {
    try {
      return await api.bytes(blob, from, length, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
      // It was not asked for in an hour: it is made again, the same to the byte.
      await api.pyramid(job, frame, file, signal);
      return api.bytes(blob, from, length, signal);
    }
  };
  const light = await Light.open(Number(blob.split(":")[1]), fetch, changed, gone);
  return { light, pass: mainPass(light.head.passes) };
}

/** The small picture of a frame. */
export async function openPicture(job: JobId, frame: number, signal: AbortSignal): Promise<Seen> {
  return { picture: await createImageBitmap(await api.picture(job, frame, "preview", signal)) };
}

/** The files of a frame that hold light. */
export function lightFiles(files: { name: string }[]): string[] {
  return files.map(({ name }) => name).filter((name) => /\.exr$/i.test(name));
}
