import { serveEngine } from '../../../worker/browser/worker.ts';
import { retail } from '../retail.ts';

serveEngine({ shards: [retail] });
