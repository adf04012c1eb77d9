// Counts what happened in simulated runs: each fault that was injected, by its F-id, and each branch of recovery that was seen to be taken, judged by
// results only. A mark that stays at 0 over many seeds means that the simulator proves nothing there.

export type Marks = Map<string, number>;

export const mark = (marks: Marks, name: string, by = 1): void => void marks.set(name, (marks.get(name) ?? 0) + by);

export function addMarks(to: Marks, from: Iterable<readonly [string, number]>): void {
  for (const [name, count] of from) mark(to, name, count);
}
