// How long the browser side waits, each with its reason. What bounds data and queues stands in kernel/limits.ts.

/** A page that was just reloaded lets go of its store within milliseconds; after this it is another tab, and the caller is told. */
export const lockWaitMs = 5_000;
/** Loading and starting the app's worker script over a slow line, before the page says what is missing. */
export const workerStartMs = 20_000;
/** Fetching and compiling SQLite (about 0.4 MB compressed) over the same line. */
export const sqliteStartMs = 30_000;
/** Installing the OPFS pool takes 15 to 210 ms; a browser that needs this long does not answer at all. */
export const storageProbeMs = 8_000;
/** A worker that just died frees its file handles a moment after its lock. */
export const storageRetryDelaysMs = [50, 200, 800] as const;
/** Opening IndexedDB, which waits for other connections when another version of the app holds an older one. */
export const vaultOpenMs = 5_000;
/** Unknown outcomes are asked again this often, each time by the same id. */
export const unknownRetryDelaysMs = [100, 400, 1_600] as const;
/** Status is told at most this often: it is for people, and computing it takes a turn on each shard. */
export const statusEveryMs = 150;
/** How often control log and followed shards are asked for news, unless the app says otherwise. */
export const pollMsDefault = 10_000;
