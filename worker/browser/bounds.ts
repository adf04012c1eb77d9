// How long the browser side waits, each with its reason. What bounds data and queues stands in kernel/limits.ts.

/** A page that was just reloaded lets go of its store within milliseconds; after this another tab has it and does not answer, and the caller is told. */
export const ownerWaitMs = 5_000;
/** Who holds the lock may first have to fetch SQLite over a slow line and try a storage that never answers. */
export const ownerOpeningMs = 45_000;
/** An owner in another tab that was asked and says nothing for so long is frozen or stuck. */
export const ownerSilenceMs = 5_000;
/** A page's own worker may be filling a database from a large image in one piece; it gets longer. */
export const workerSilenceMs = 30_000;
/** How often a page looks whether the owner still answers, and asks who it is while it knows none. */
export const lookEveryMs = 500;
/** A switch of tabs is two events in two processes, in any order, this close together. */
export const wantedMs = 1_000;
/** What an owner that lets go may still take to finish: a transaction takes a few milliseconds, a loop may hang on a dead network. */
export const letGoMs = 400;
/** What a page waits for its worker to let go before it ends it: what was saved is on disk either way. */
export const closeMs = 2_000;
/** A worker that dies is started again; one that dies this often within a minute will not do better. */
export const workerRestartsMax = 3;
/** Loading and starting the app's worker script over a slow line, before the page says what is missing. */
export const workerStartMs = 20_000;
/** Fetching and compiling SQLite (about 0.4 MB compressed) over the same line. */
export const sqliteStartMs = 30_000;
/** Writing and reading back a few bytes takes milliseconds; a browser that never answers is not waited for longer. */
export const opfsProbeMs = 3_000;
/** Installing the OPFS pool takes 15 to 210 ms; a browser that needs this long does not answer at all. */
export const storageProbeMs = 8_000;
/** A second worker that loads SQLite and opens a transaction, once per library version. */
export const leakTestMs = 5_000;
/** A worker that just died frees its file handles a moment after its lock. */
export const storageRetryDelaysMs = [50, 200, 800] as const;
/** Opening IndexedDB, which waits for other connections when another version of the app holds an older one. */
export const vaultOpenMs = 5_000;
/** Unknown outcomes are asked again this often, each time by the same id. */
export const unknownRetryDelaysMs = [100, 400, 1_600] as const;
/** Status is told at most this often: it is for people, and computing it takes a turn on each shard. */
export const statusEveryMs = 150;
/** Room changes slowly, and some browsers take long to say. */
export const meterEveryMs = 10_000;
export const meterMs = 2_000;
/** How often control log and followed shards are asked for news, unless the app says otherwise. */
export const pollMsDefault = 10_000;
