// The acknowledgement journal: what the writing device was told, noted outside of the browser while it happens. One JSON line for each group, in
// the order of their receipts: {group, invoice, ops, savedAtMs, committedAtMs}, times in ms since 1970 by the page's clock.
import { appendFile } from 'node:fs/promises';
import type { News } from './page/page.ts';

export interface Acknowledged {
  readonly group: string;
  readonly invoice: string;
  readonly ops: number;
  readonly savedAtMs: number;
  /** Null: saved, and the run ended before its receipt. */
  readonly committedAtMs: number | null;
}

export class Journal {
  readonly #path: string;
  readonly #saved = new Map<string, Acknowledged>();
  #writing: Promise<void> = Promise.resolve();
  #opsSaved = 0;
  #opsCommitted = 0;
  readonly committed: Acknowledged[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  get opsSaved(): number {
    return this.#opsSaved;
  }

  get opsCommitted(): number {
    return this.#opsCommitted;
  }

  readonly take = (news: readonly News[]): void => {
    const lines: Acknowledged[] = [];
    for (const item of news) {
      if (item.kind === 'saved') {
        const { group, invoice, ops, atMs } = item;
        this.#saved.set(group, { group, invoice, ops, savedAtMs: atMs, committedAtMs: null });
        this.#opsSaved += ops;
        continue;
      }
      const saved = this.#saved.get(item.group);
      if (saved === undefined) throw new Error(`group ${item.group}: committed before it was saved`);
      this.#saved.delete(item.group);
      lines.push({ ...saved, committedAtMs: item.atMs });
      this.#opsCommitted += saved.ops;
    }
    this.committed.push(...lines);
    this.#write(lines);
  };

  /** Also notes what was saved and not committed. */
  async close(): Promise<void> {
    this.#write([...this.#saved.values()]);
    this.#saved.clear();
    await this.#writing;
  }

  #write(lines: readonly Acknowledged[]): void {
    if (lines.length === 0) return;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    this.#writing = this.#writing.then(() => appendFile(this.#path, text));
    this.#writing.catch(() => undefined); // thrown by close
  }
}
