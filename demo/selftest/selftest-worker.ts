// The worker of the self-test's own store.

import { serveEngine } from 'foldlog/worker';
import { entries } from './entries.ts';

serveEngine({ shards: [entries] });
