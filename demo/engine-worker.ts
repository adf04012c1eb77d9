// The worker that holds the shop's data: the engine, told which shards there are.

import { serveEngine } from 'foldlog/worker';
import { catalogue, till } from './shop.ts';

serveEngine({ shards: [till, catalogue] });
