// The engine as it is shipped, over files that can stop it. The worker's name says which disk it stands on.
import { serveEngine } from '../../../worker/browser/worker.ts';
import { ledger } from '../ledger.ts';
import { fused, fuseIndexedDb, takeFuses } from './fuse.ts';
import { wrapFiles } from './sync-file.ts';
import { CachedFile, type Disk } from './write-cache.ts';

const disk = (globalThis as unknown as { readonly name: Disk }).name;

takeFuses();
wrapFiles((file) => fused(disk === 'cut' ? new CachedFile(file) : file));
fuseIndexedDb();
serveEngine({ shards: [ledger] });
