import { serveEngine } from '../../worker/browser/worker.ts';
import { counters, lines } from './shards.ts';

serveEngine({ shards: [counters, lines] });
