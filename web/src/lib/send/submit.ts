// Files to the farm, and a job of them.

import { api } from "../api/client";
import type { JobId, Overrides } from "../api/types";
import type { Sent } from "./tree";

/** What is asked for, as the user wrote it. */
export interface Wanted {
  name: string;
  /** "1..48", "1,5,9". */
  frames: string;
  /** The .blend among the files. */
  main: string;
  /** The Blender that saved it. */
  series: string;
  category: string;
  priority: number;
  tags: string[];
  comment: string;
  overrides: Partial<Overrides>;
}

/** Bytes sent so far, of all files. */
type Told = (bytes: number) => void;

/** Sends the files one after the other and makes the job. */
export async function submit(files: Sent[], wanted: Wanted, told: Told, signal: AbortSignal): Promise<JobId> {
  const tree: { path: string; blob: string }[] = [];
  let before = 0;
  for (const { path, file } of files) {
    const blob = await api.putFile(file, (bytes) => told(before + Math.min(bytes, file.size)), signal).catch((error: unknown) => {
      if (error instanceof Error && !signal.aborted) error.message = `${path}: ${error.message}`;
      throw error;
    });
    tree.push({ path, blob });
    before += file.size;
    told(before);
  }
  const manifest = await api.putTree(tree, signal);
  const { name, category, priority, tags, comment, overrides } = wanted;
  return api.submit(
    {
      settings: { name, category, priority, tags, comment },
      manifest,
      main_file: wanted.main,
      file_version: wanted.series,
      steps: [{ kind: { render: overrides }, frames: wanted.frames }],
    },
    signal,
  );
}
