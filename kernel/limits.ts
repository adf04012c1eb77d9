// Every bound, in one place, each with its reason. A decoder checks these before it allocates; a queue, before it grows.

/** Ops in one commit group: an invoice of hundreds of lines fits; a fold slice stays short. */
export const groupOpsMax = 10_000;
/** Body of one group, bytes of JSON: half a run, so that any group fits a push with room for its neighbours. */
export const groupBodyBytesMax = 4 * 1024 * 1024;
/** What an app's own group may hold: room is left for the `foldlog.rebased` op that a rebase puts first (decision 0003). */
export const appGroupOpsMax = groupOpsMax - 1;
export const appGroupBodyBytesMax = groupBodyBytesMax - 1024;
/** Nesting of a payload: deep enough for documents, far from any runtime's stack. */
export const payloadDepthMax = 64;
/** Length of a class name, a table name, a shard name: fits a key of any store beside the rest. */
export const nameLengthMax = 64;

/** Schema versions of one kind of shard: one a week for a lifetime; a file far behind still opens in one transaction. */
export const schemaVersionMax = 4_096;
/** Statements of one migration: a rebuild of every table there is, and data with it. */
export const migrationStatementsMax = 256;

/** Inflated records of one run: what a Worker may hold of one request beside its copies. */
export const runBytesMax = 8 * 1024 * 1024;
/** Groups in one run: a day of one-op groups goes in a handful of runs. */
export const runGroupsMax = 100_000;
/** Stored bytes ÷ inflated bytes can be no smaller than this: raw deflate tops out near 1:1032. */
export const inflateRatioMax = 1100;

/** One control entry: a revocation with a cut for each of hundreds of shards fits. */
export const controlEntryBytesMax = 64 * 1024;
export const controlActsMax = 512;
/** An invite is used within a week or made anew. */
export const inviteLifeMsMax = 7 * 24 * 3600 * 1000;
export const inviteUsesMax = 10;
export const invitesOpenMax = 10;

/** Chunk of a checkpoint image before compression: one object, one retry. */
export const chunkBytes = 1024 * 1024;
/** 64 Ki chunks = 64 GiB: beyond any database a browser holds. */
export const chunksMax = 65_536;

/** Calls, ops and bytes that share one flush: bounds the time one COMMIT holds the mutex. */
export const transactionCallsMax = 1_000;
export const transactionOpsMax = groupOpsMax;
export const transactionBytesMax = 4 * 1024 * 1024;
/** Calls that arrive one by one are gathered this long at most for one flush: about the cost of a few flushes. */
export const gatherMsMax = 4;
/** What a power cut may take of saves that asked for `relaxed`: after so many ops, or so long, they are made durable all the same. */
export const relaxedOpsMax = 1_000;
export const relaxedMsMax = 500;
/** A signature takes a tenth of a millisecond; a key holder that needs this long does not answer at all. */
export const signMsMax = 10_000;
/** A shard file that did not open again is tried once in so long: a disk that is full or away comes back within seconds or not soon. */
export const reopenAfterMs = 2_000;
/** Calls waiting for their turn before `save` answers storageFull: bounds memory when the disk stalls. */
export const waitingCallsMax = 10_000;

/** Stranded groups that are saved again at a time: they share flushes, and a kill repeats at most so many questions for an id. */
export const rebaseGroupsMax = 256;
export const rebaseBytesMax = transactionBytesMax;

/** Background work holds a shard's mutex at most this long at a time: half a frame. */
export const sliceMsMax = 8;

/** An own shard's file up to this size is read whole before its first save (about 3 ms per MB); a larger one waits for its audit. */
export const openCheckBytesMax = 16 * 1024 * 1024;

/** Own shards that the app has not opened are opened this long after a start, so that what was saved in them goes out. */
export const ownOpenAfterMs = 3_000;
/** A shard is audited this long after its store opened, when the start is over, and then this often while it stays open. */
export const auditAfterMs = 60_000;
export const auditEveryMs = 24 * 3600 * 1000;
/** State hashes that a save overtook before the audit gives up until the next time. */
export const auditTriesMax = 5;

/** Committed groups and free pages of a shard's file before truncating is worth its writes: about a day of one op a second, or this part of the file. */
export const truncateBytesMin = 16 * 1024 * 1024;
export const truncatePartOfFile = 0.25;
/** Committed ops a shard keeps in its log: what an audit folds again, some twenty seconds of a phone. */
export const openOpsMax = 300_000;
/** A file above this is told in status: reading it whole takes a phone seconds, and no upkeep makes the state itself smaller. */
export const databaseBytesWarn = 100 * 1024 * 1024;
/** WAL that may gather while a checkpoint is copied: what SQLite then takes into the file in one call, which nothing can divide. */
export const frozenWalBytesMax = 32 * 1024 * 1024;
/** Groups before the log's base whose place is still told to a call that asks again: about 6 MB. */
export const pastGroupsMax = 65_536;
/** A finished copy waits this long for the receipt of its head before it is dropped. */
export const receiptWaitMsMax = 60_000;
/** On IndexedDB a copy must leave this much of the cap to saves. */
export const copySpareBytes = 4 * 1024 * 1024;
/** A follower that crossed a move asks so often whether the writer's checkpoint is there: the state it serves meanwhile is its own fold. */
export const moveCheckEveryMs = 30_000;

/** Page cache of an own shard over OPFS, KiB: a save touches few pages, a fold of a thousand ops some hundred. */
export const ownCacheKib = 4_000;
/** All replicas together, KiB, divided evenly: fifty of them must leave a phone's tab its memory. Each is read in slices and seldom. */
export const replicaCachesKib = 8_192;
/** Below this a b-tree of three levels is read again for each row, KiB. */
export const replicaCacheKibMin = 128;

/** One push or pull request may take this long before its outcome counts as unknown. */
export const requestMsMax = 30_000;
/** Back-off between failed rounds, with jitter. */
export const backoffMsMin = 500;
export const backoffMsMax = 5 * 60_000;

/** A put whose outcome is unknown is repeated this long before the device is told so. */
export const settleMsMax = 20_000;
/** A receipt is a capability for this long; afterwards it is evidence and a hint (decision 0008). */
export const receiptCapabilityMsMax = 7 * 24 * 3600 * 1000;
/** A fence without its cut is left to its author and the admins this long: a device being revoked cannot outrun them (decision 0003). */
export const fenceReservedMs = 10 * 60_000;
/** A relay instance believes its copy of a control log this long. */
export const controlCacheMsMax = 10_000;
/** Clock difference a signed request may show. */
export const requestSkewMsMax = 5 * 60_000;

/** Ops that are folded from the first slot without being asked where a shard has no checkpoint: about 1.5 s on a phone, as much on a desktop (decision 0013). */
export const genesisOpsMax: Readonly<Record<FormFactor, number>> = { phone: 25_000, desktop: 250_000 };

/** Shards in one query: SQLite attaches at most 10 databases. */
export const queryShardsMax = 9;
/** Rows a live query may hold: beyond, ask for a page. */
export const liveRowsMax = 10_000;

export type FormFactor = 'phone' | 'desktop';
/** All databases of a workspace together where files live in memory over IndexedDB: what a tab of that device may hold beside the app. */
export const mirrorBytesMax: Readonly<Record<FormFactor, number>> = { phone: 64 * 1024 * 1024, desktop: 256 * 1024 * 1024 };

/** A queue beyond either is told and asks for truncation (docs/metrics.md#queue). A day of one op a second is about 14 MB; a week offline is a fault. */
export const queueBytesMax = 50 * 1024 * 1024;
export const queueAgeMsMax = 7 * 24 * 3600 * 1000;
/** Part of what the host grants that may be used before a new save is refused: an estimate of the host's, and sending and truncating need room, too. */
export const grantedPartMax = 0.8;
/** Room is asked about this often while saves go on, and what was saved since then is added to the answer. */
export const roomFreshMs = 10_000;
/** A saved byte is written to the log, its effect to the tables, and both to a WAL first. */
export const writtenPerSavedByte = 3;

/** Metrics are looked at this long after the start, when the start is over, and then this often: none of them changes in seconds. */
export const metricsAfterMs = 5_000;
export const metricsEveryMs = 30_000;
/** Durations kept for a percentile: enough for a 95th, little memory. */
export const foldSamplesMax = 256;
/** On a low battery news are asked for this seldom at most: radio and screen, not this, then decide how long it lasts. */
export const throttledPollMs = 120_000;
