// The shards this device writes: which are open, how one is opened or made, and what each is told about the others. Whether a device may write one at all
// is the control log's word (ownership.ts); how one works once it is open is own-shard.ts.

import { isRoleAtLeast, type Role } from '../../kernel/control/acts.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { BulkDigest } from '../../kernel/ports.ts';
import type { WorkspaceId } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { ControlReplica } from './control.ts';
import { currentFile, shardFileName } from './generations.ts';
import { takeOverOf } from './intents.ts';
import { type LostShard, lostKeyShard, lostShard, markedShard } from './loss.ts';
import { moveOpened } from './move-schema.ts';
import { OwnShard, type OwnShardPorts, type ShardEvents } from './own-shard.ts';
import type { OwnShardStatus } from './own-shard-status.ts';
import { type EpochRights, isEpochOpen, isKeyLost, strandingHost } from './ownership.ts';
import type { RelayClient } from './relay-client.ts';
import { createShardFile, type ShardIdentity } from './shard-file.ts';
import { requireFreeName } from './shard-name.ts';
import { type SentShard, ShardSenders } from './shard-sender.ts';
import { ShardStore } from './shard-store.ts';
import { type EngineEvent, workspaceStatus } from './status.ts';
import type { StoragePool } from './storage-pool.ts';
import type { TakeOvers } from './take-over.ts';
import { takingOver } from './take-over-calls.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface OwnShardsPorts extends Omit<OwnShardPorts, 'sync' | 'isAdmin'> {
  readonly pool: StoragePool;
  readonly bulkDigest: BulkDigest;
  /** Absent: a workspace that is never synced. */
  readonly relay: RelayClient | undefined;
}

export interface OwnShardsAt {
  readonly file: WorkspaceFile;
  readonly control: ControlReplica;
  readonly definitions: ReadonlyMap<string, ShardDefinition>;
  readonly takeOvers: TakeOvers | undefined;
}

/** What the rest of the engine does for them. */
export interface OwnShardsHost {
  readonly tell: (event: EngineEvent) => void;
  readonly askControl: (atOnce: boolean) => void;
}

export class OwnShards {
  readonly #ports: OwnShardsPorts;
  readonly #at: OwnShardsAt;
  readonly #host: OwnShardsHost;
  readonly #senders: ShardSenders | undefined;
  readonly #open = new Map<string, OwnShard>();
  readonly #opening = new Map<string, Promise<OwnShard>>();

  constructor(ports: OwnShardsPorts, at: OwnShardsAt, host: OwnShardsHost) {
    this.#ports = ports;
    this.#at = at;
    this.#host = host;
    const { relay } = ports;
    if (relay !== undefined)
      this.#senders = new ShardSenders({ ...ports, relay }, ports.pool, at.control, () => host.tell({ kind: 'status' }));
  }

  /** Opens a shard this device writes, creating it when it is new. The handle names it in all other calls. */
  async open(kind: string, name: string): Promise<string> {
    const handle = `${kind}/${name}`;
    if (this.#open.has(handle)) return handle;
    let opening = this.#opening.get(handle);
    if (opening === undefined) {
      opening = this.#openOrMake(kind, name)
        .catch((error: unknown) => this.#senders?.begin(this.#at.file.shards(), { kind, name }, error) ?? Promise.reject(error))
        .finally(() => this.#opening.delete(handle));
      this.#opening.set(handle, opening);
    }
    this.#open.set(handle, await opening);
    return handle;
  }

  shard(handle: string): OwnShard {
    const shard = this.#open.get(handle);
    if (shard !== undefined) return shard;
    throw FoldlogError.misuse({ where: `shard ${handle}`, reason: 'notOpen', found: 'a shard that is not open', expected: 'open() first' });
  }

  /** Those that are open. */
  all(): readonly OwnShard[] {
    return [...this.#open.values()];
  }

  async statuses(): Promise<readonly OwnShardStatus[]> {
    const found: OwnShardStatus[] = [];
    for (const shard of this.#open.values()) found.push(await shard.status());
    return found;
  }

  /** Those that only a newer version of the app can read. */
  sentOnly(): readonly SentShard[] {
    return this.#senders?.statuses() ?? [];
  }

  /** Those that this device cannot write any more, and why. */
  lost(): readonly LostShard[] {
    const gone = this.#at.file.shards().filter(({ hold }) => hold === 'lost');
    const unsigned = this.all().filter(({ store }) => this.#isKeyLost(store));
    return [
      ...gone.map(({ kind, name }) => ({ kind, name, why: 'file' as const })),
      ...unsigned.map(({ store: { identity } }) => ({ kind: identity.kind, name: identity.name, why: 'key' as const })),
    ];
  }

  wake(atOnce: boolean): void {
    for (const shard of this.#open.values()) shard.wake(atOnce);
    this.#senders?.wake(atOnce);
  }

  /** What was saved goes out also when the app does not open its shard again: own shards are opened behind all that people wait for. */
  async openHeld(isClosed: () => boolean): Promise<void> {
    for (const { hold, kind, name } of this.#at.file.shards()) {
      if (hold !== 'own' || isClosed()) continue;
      await this.#ports.scheduler.yield();
      await this.open(kind, name).catch(() => undefined); // told to whoever opens it
    }
  }

  async close(): Promise<void> {
    for (const shard of this.#open.values()) await shard.close();
    await this.#senders?.close();
  }

  async #openOrMake(kind: string, name: string): Promise<OwnShard> {
    this.#senders?.requireNone(`${kind}/${name}`);
    const where = `shard ${kind}/${name}`;
    const definition = this.#definitionOf(kind, where);
    const { workspace } = this.#at.file;
    if (workspace === undefined) {
      throw FoldlogError.misuse({
        where,
        reason: 'noWorkspace',
        found: 'an empty store',
        expected: 'a workspace',
        todo: 'create or join one',
      });
    }
    const shards = this.#at.file.shards().filter((shard) => shard.kind === kind && shard.name === name);
    const held = shards.find(({ hold }) => hold === 'own');
    await this.#ports.pool.reserve(1);
    if (held !== undefined) return this.#openFile(held, definition);
    if (shards.some(({ hold }) => hold === 'lost')) throw lostShard(where);
    const { control, takeOvers } = this.#at;
    const by = { key: this.#ports.signer.publicKey, role: this.#role ?? 'owner' };
    requireFreeName(control.state, { kind, name }, by, (id) => takeOvers?.intents.takeOver(id) !== undefined);
    return this.#make(workspace, { kind, name }, definition);
  }

  #definitionOf(kind: string, where: string): ShardDefinition {
    const definition = this.#at.definitions.get(kind);
    if (definition !== undefined) return definition;
    throw FoldlogError.misuse({
      where,
      reason: 'unknownKind',
      found: `the kind ${kind}`,
      expected: `one of ${[...this.#at.definitions.keys()].join(', ')}`,
    });
  }

  /** Brought to the present schema before anything else uses it. In an epoch that is closed nothing is saved, not even the op that says so (own-shard.ts). */
  async #openFile(held: ShardIdentity, definition: ShardDefinition): Promise<OwnShard> {
    await this.#at.file.flush(); // the list may not be, when the call that made it failed
    const { pool } = this.#ports;
    const store = await ShardStore.open(pool, currentFile(pool, held.id), definition, held);
    const { state, head } = this.#at.control;
    await moveOpened(this.#ports, store, head, !this.#isKeyLost(store) && isEpochOpen(state, store));
    const shard = this.#assemble(store);
    await shard.publishMove();
    return shard;
  }

  async #make(
    workspace: WorkspaceId,
    named: { readonly kind: string; readonly name: string },
    definition: ShardDefinition,
  ): Promise<OwnShard> {
    const { pool, vault, random, signer } = this.#ports;
    const nonce = random.bytes(16);
    const identity: ShardIdentity = { id: shardIdOf(workspace, nonce), ...named };
    const file = shardFileName(identity.id);
    // File, marker, list, in this order: see the crash table of decision 0006.
    const db = createShardFile(pool, file, definition, identity, nonce);
    try {
      await pool.flush(file);
    } catch (error) {
      db.close();
      pool.remove(file); // nothing was answered from it, and nothing names it
      throw error;
    }
    await vault.mark(file, markedShard(workspace, identity, true));
    const list = this.#at.file;
    list.db.transaction(() => {
      list.holdShard({ ...identity, hold: 'own' });
      list.queueActs([{ act: 'shard', nonce, ...named, writer: keyIdOf(signer.publicKey) }]);
    });
    await list.flush();
    this.#host.askControl(false);
    return this.#assemble(new ShardStore(pool, file, definition, identity, db));
  }

  #assemble(store: ShardStore): OwnShard {
    const { relay } = this.#ports;
    const { file, control, takeOvers } = this.#at;
    const handle = `${store.identity.kind}/${store.identity.name}`;
    const isAdmin = (): boolean => isRoleAtLeast(this.#role ?? 'reader', 'admin');
    const ports = { ...this.#ports, isAdmin };
    const sync = relay === undefined ? undefined : { ...ports, relay };
    const { tell } = this.#host;
    const events: ShardEvents = {
      onSaved: () => tell({ kind: 'changed', shard: handle }),
      onCommitted: (head) => {
        tell({ kind: 'committed', shard: handle, seq: head.seq });
        tell({ kind: 'status' });
        for (const shard of this.#open.values()) shard.settle(store.identity.id); // what waits in an outbox for a receipt of this one
      },
      onState: () => tell({ kind: 'status' }),
      onStranded: (epoch, seq) => tell({ kind: 'stranded', shard: handle, epoch, seq }),
    };
    const rights: EpochRights = {
      mayEnter: (id, opened) => takeOvers?.mayEnter(id, opened) === true,
      entered: async (id, opened) => {
        if (takeOvers?.mayEnter(id, opened) !== true) return;
        takeOvers.intents.drop(takeOverOf(id));
        await file.flush();
        shard.resumeSaves();
      },
    };
    const host = strandingHost({ file, control, signer: ports.signer, ports: sync, rights }, store.identity.id, {
      open: async ({ kind, name }) => this.shard(await this.open(kind, name)),
      askControl: () => this.#host.askControl(true),
    });
    const shard = new OwnShard({ ...ports, sync }, ports.pool, store, control, { events, host });
    if (takeOvers?.intents.takeOver(store.identity.id) !== undefined) shard.pauseSaves(takingOver(`shard ${handle}`));
    if (this.#isKeyLost(store)) shard.holdSaves(lostKeyShard(`shard ${handle}`));
    return shard;
  }

  get #role(): Role | undefined {
    return workspaceStatus(this.#at.file, this.#at.control.state, this.#ports.signer)?.role;
  }

  #isKeyLost(store: ShardStore): boolean {
    return isKeyLost(this.#at.control.state, this.#ports.signer, store);
  }
}
