// Files that were chosen or dropped, where they lie to each other.

export interface Sent {
  /** With `/` between folders, none before the first. */
  path: string;
  file: File;
}

/** Files of an input: of a folder, all that is in it. */
export function ofInput(files: Iterable<File>): Sent[] {
  return rooted([...files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** Files and folders that were dropped. What is dropped is only told while the event runs: call it there. */
export async function ofDrop(data: DataTransfer): Promise<Sent[]> {
  const sent: Sent[] = [];
  const dropped = [...data.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  for (const one of dropped) {
    if (one instanceof File) sent.push({ path: one.name, file: one });
    else if (one) await walk(one, sent);
  }
  return rooted(sent);
}

async function walk(entry: FileSystemEntry, into: Sent[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed));
    into.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // It gives a hundred or so at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return;
    for (const one of some) await walk(one, into);
  }
}

/** Without the folders that all of them are in, and without what systems leave lying about. */
export function rooted(sent: Sent[]): Sent[] {
  const real = sent.filter(({ path }) => !/(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini)$/.test(path));
  const [first = [], ...others] = real.map(({ path }) => path.split("/").slice(0, -1));
  const differs = first.findIndex((name, at) => others.some((other) => other[at] !== name));
  const depth = differs < 0 ? first.length : differs;
  return real.map(({ path, file }) => ({ path: path.split("/").slice(depth).join("/"), file }));
}

/** What can be rendered, the likeliest first: .blend files that lie highest, by name. Not Blender's own older copies (`.blend1`). */
export function blends(sent: Sent[]): Sent[] {
  const depth = (path: string) => path.split("/").length;
  return sent.filter(({ path }) => /\.blend$/i.test(path)).sort((a, b) => depth(a.path) - depth(b.path) || a.path.localeCompare(b.path));
}
