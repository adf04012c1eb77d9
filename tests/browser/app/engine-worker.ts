import { serveEngine } from '../../../worker/browser/worker.ts';
import { applyFault } from './faults.ts';
import { catalogue, till } from './shards.ts';

applyFault();
serveEngine({ shards: [till, catalogue] });
