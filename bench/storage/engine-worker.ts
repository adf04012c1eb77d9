import { serveEngine } from '../../worker/browser/worker.ts';
import { notes } from './shards.ts';

serveEngine({ shards: [notes] });
