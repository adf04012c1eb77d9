import { serveEngine } from '../../worker/browser/worker.ts';
import { till } from './shards.ts';

serveEngine({ shards: [till] });
