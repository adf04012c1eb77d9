// The worker of a build before this page's: same kinds, older catalogue.
import { serveEngine } from '../../../worker/browser/worker.ts';
import { olderCatalogue, till } from './shards.ts';

serveEngine({ shards: [till, olderCatalogue] });
