import { serveEngine } from '../../worker/browser/worker.ts';
import { till } from '../commit/shards.ts';
import { notes } from './shards.ts';

serveEngine({ shards: [till, notes] });
