// The page's API as TypeScript sees it: names, payloads and rows come from the definitions. Compiled, never run: each `@ts-expect-error` below
// fails the build when what it marks becomes legal.
import * as v from 'valibot';
import { command, defineShard, op, sql, table, text } from '../../shards/index.ts';
import { openWorkspace } from '../../worker/browser/page.ts';

const note = defineShard('note', {
  version: 1,
  tables: { note: table({ id: text(), body: text() }, { key: ['id'] }) },
  ops: { 'note.written': op(v.object({ id: v.string(), body: v.string() }), () => undefined) },
  commands: { erase: command(v.object({ id: v.string() }), () => []) },
});
const list = defineShard('list', {
  version: 1,
  tables: { item: table({ id: text() }, { key: ['id'] }) },
  ops: {
    'item.added': op(v.object({ id: v.string() }), () => undefined),
    // Read in version 2, still written in version 1.
    'item.ranked': op(v.object({ id: v.string(), rank: v.number() }), (_, { rank }) => void rank.toFixed(), {
      version: 2,
      writes: { version: 1, schema: v.object({ id: v.string() }) },
      upcast: { 1: (old) => ({ ...(old as object), rank: 0 }) },
    }),
  },
});

export async function typed(worker: () => Worker): Promise<void> {
  const ws = await openWorkspace({ shards: [note, list], store: 'notes', worker, backends: ['indexeddb', 'opfs-pool'] });
  const notes = await ws.open('note', 'mine');
  await notes.save('note.written', { id: '1', body: 'a' });
  await notes.saveAll([['note.written', { id: '1', body: 'a' }, 'own id']]);
  await notes.run('erase', { id: '1' });
  const { kind }: { kind: 'saved' | 'relaxed' } = await notes.save('note.written', { id: '2', body: 'b' }, { durability: 'relaxed' });
  await notes.flush();
  const [stranded] = await notes.outbox();
  if (stranded?.state === 'refused') await notes.discard(stranded.id);
  if (stranded !== undefined) await notes.importTail(await notes.exportEntry(stranded.id));
  const [rows, [count]] = await notes.read([
    sql<{ body: string }>`SELECT body FROM note`,
    sql<{ n: number }>`SELECT count(*) AS n FROM note`,
  ]);
  const bodies: readonly string[] = rows.map(({ body }) => body);
  const n: number | undefined = count?.n;
  const live = notes.live(sql<{ id: string; body: string }>`SELECT * FROM note`, { key: 'id' });
  const snapshot: readonly { readonly id: string }[] | undefined = live.getSnapshot();
  const [across] = await ws.read('note/*', [sql<{ shardName: string }>`SELECT shardName FROM note`]);
  const names: readonly string[] = across.map(({ shardName }) => shardName);
  const { values, alerts } = await ws.metrics();
  const queue: number = values.offline_queue_mb;
  const quota: number | undefined = values.quota_used_pct;
  const stop: () => void = ws.onAlert(({ change, alert }) => void (change === 'raised' && alert.actions.includes('send')));
  stop();
  void [kind, bodies, n, snapshot, names, alerts, queue, quota];

  await (await ws.open('list', 'x')).save('item.ranked', { id: '1' });

  // @ts-expect-error a payload of a version that is not written yet
  await (await ws.open('list', 'x')).save('item.ranked', { id: '1', rank: 3 });

  const taken = await ws.takeOver('note', 'theirs');
  await taken.save('note.written', { id: '1', body: 'a' });
  await ws.revoke((await ws.status()).devices.find(({ isThis }) => !isThis)?.id ?? '');
  // @ts-expect-error a kind that is not declared
  await ws.takeOver('bakery', 'x');
  // @ts-expect-error a class of another shard
  await taken.save('item.added', { id: '1' });
  // @ts-expect-error a durability there is not
  await notes.save('note.written', { id: '1', body: 'a' }, { durability: 'loose' });
  // @ts-expect-error a backend there is not
  await openWorkspace({ shards: [note], store: 'notes', worker, backends: ['memory'] });
  // @ts-expect-error a kind that is not declared
  await ws.open('bakery', 'x');
  // @ts-expect-error a class of another shard
  await notes.save('item.added', { id: '1' });
  // @ts-expect-error a payload without one of its fields
  await notes.save('note.written', { id: '1' });
  // @ts-expect-error a command that is not declared
  await notes.run('burn', { id: '1' });
  // @ts-expect-error a shard without commands
  await (await ws.open('list', 'x')).run('erase', { id: '1' });
  // @ts-expect-error a key that is no column of the rows
  notes.live(sql<{ id: string }>`SELECT id FROM note`, { key: 'body' });
}
