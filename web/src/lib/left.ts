// Time left, from when frames were done: the rate of the later half of them, as `tessera watch` has it.

/** Frames that have to be done before there is a rate to speak of. */
const FRAMES_MIN = 3;

/** Milliseconds for `remaining` frames; none before it can be told. `done`: when frames were done. */
export function timeLeft(done: number[], remaining: number, now: number): number | null {
  if (remaining === 0) return 0;
  if (done.length < FRAMES_MIN) return null;
  const sorted = [...done].sort((a, b) => a - b);
  const half = sorted.slice(Math.floor(sorted.length / 2) - 1);
  const first = half[0] ?? 0;
  const last = half[half.length - 1] ?? 0;
  if (last <= first) return null;
  const each = (last - first) / (half.length - 1);
  // It counts down between two frames, and never below what the next one is expected to take.
  return Math.max(remaining * each - Math.max(0, now - last), each * (remaining - 1));
}
