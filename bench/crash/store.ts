// One store through its rounds: opened, judged, saved into, killed, and so on; at its end judged from the bytes of its file. A store ends with its first
// fault, so that what went wrong stays as it is.
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Page } from 'playwright';
import type { SqliteJournal } from './builds.ts';
import { Device } from './device.ts';
import { Expected } from './expected.ts';
import type { Journal, JournalPlace } from './journal.ts';
import { Judge } from './judge.ts';
import type { Means } from './means.ts';
import type { Backend } from './page/backend.ts';
import type { Acknowledged, StoreOrder } from './page/page.ts';
import type { Disk } from './page/write-cache.ts';
import type { Moment, RoundPlan } from './plan.ts';
import type { SetFuse, Site } from './site.ts';
import { pause, within } from './within.ts';

export interface StoreSettings {
  readonly name: string;
  readonly seed: number;
  readonly backend: Backend;
  readonly disk: Disk;
  /** Which files may stand beside the database when it is closed. */
  readonly sqliteJournal: SqliteJournal;
  /** A folder that is not there yet. */
  readonly profile: string;
  /** Where the exported file lands: the site's inbox. */
  readonly inbox: string;
}

/** One kill. */
export interface RoundReport extends RoundPlan {
  /** Acknowledged since the round began. */
  readonly acknowledged: number;
  /** Where the end met it: the operation at which the fuse blew, or how else the moment was chosen. */
  readonly point: string;
  readonly ms: number;
}

/** An opening, a read or a close takes fractions of a second; a lock that its dead holder keeps is waited for 5 s by the engine itself. */
const callMsMax = 30_000;
/** A fuse that has not blown by then is beyond what its phase does: the end comes anyway. */
const fuseMsMax = 4_000;
const savesAfterEach = 20;

export class StoreRun {
  readonly judge: Judge;
  readonly #settings: StoreSettings;
  readonly #site: Site;
  readonly #journal: Journal;
  readonly #expected: Expected;
  readonly #device: Device;
  /** Heard whenever something is acknowledged. */
  #onAcknowledged: () => void = () => undefined;
  #place: JournalPlace;
  #life = 0;
  /** Killed while it saved; its last step is asked again. */
  #cutLife: number | undefined;

  constructor(settings: StoreSettings, site: Site, journal: Journal) {
    this.#settings = settings;
    this.#site = site;
    this.#journal = journal;
    this.#expected = new Expected(settings.seed);
    this.judge = new Judge(this.#expected);
    this.#place = { store: settings.name, round: 0, means: 'none' };
    this.#device = new Device(settings.profile, site.origin, (acknowledged) => this.#take(acknowledged));
  }

  get browserVersion(): string {
    return this.#device.version;
  }

  /** One round, to its kill; undefined when the kill before it left a fault. What this kill leaves is judged in the next one, or by `finish`. */
  async round(plan: RoundPlan): Promise<RoundReport | undefined> {
    const start = performance.now();
    const before = this.judge.acknowledged;
    this.#place = { ...this.#place, round: plan.round, means: plan.means };
    const point = plan.moment.at === 'opening' ? await this.#killOpening(plan, plan.moment) : await this.#killSaving(plan, plan.moment);
    if (point === undefined) return undefined;
    return { ...plan, point, acknowledged: this.judge.acknowledged - before, ms: Math.round(performance.now() - start) };
  }

  /** Judges what the last kill left, saves and judges again, then judges the file. A store with a fault only has its file taken out, as it is. */
  async finish(): Promise<void> {
    this.#place = { ...this.#place, means: 'none' };
    if (this.judge.faults.length === 0) await this.#reopen();
    if (this.judge.faults.length > 0) {
      await this.#takeOut().catch(() => undefined); // a store that cannot be read cannot be taken out: its profile is kept
      return;
    }
    const { files, bytes } = await this.#takeOut();
    await this.judge.file(bytes, files, this.#settings.sqliteJournal);
  }

  stop(): Promise<void> {
    return this.#device.stop();
  }

  /** Closes the store; its file stays in the inbox, gzipped. */
  async #takeOut(): Promise<{ readonly files: readonly string[]; readonly bytes: Uint8Array }> {
    const { name, backend, inbox } = this.#settings;
    const page = await this.#device.page();
    await this.#call(
      'closing',
      page.evaluate(() => crashPage.close()),
    );
    const url = `/${name}.db.gz`;
    const order = { store: name, backend, url };
    const files = await this.#call(
      'exporting',
      page.evaluate((asked) => crashPage.export(asked), order),
    );
    return { files, bytes: await promisify(gunzip)(await readFile(`${inbox}${url}`)) };
  }

  async #killOpening({ means }: RoundPlan, { fuse }: Moment & { readonly at: 'opening' }): Promise<string> {
    const page = await this.#device.page();
    const set = this.#site.setFuse();
    const opening = page.evaluate((order) => crashPage.open(order), { ...this.#order, fuse: { ...fuse, url: set.url } });
    let isKilled = false;
    const refused = opening.then(
      () => 'opened before its fuse blew',
      (error: unknown) => {
        if (!isKilled) this.judge.unreachable(firstLine(error));
        return 'refused';
      },
    );
    const point = await Promise.race([set.blown, refused, pause(fuseMsMax).then(() => 'fuse not reached')]);
    isKilled = true;
    await this.#kill(means, set);
    return point;
  }

  async #killSaving(plan: RoundPlan, moment: Exclude<Moment, { readonly at: 'opening' }>): Promise<string | undefined> {
    const page = await this.#reopen();
    if (page === undefined) return undefined;
    const life = this.#nextLife();
    this.#cutLife = life;
    const set = this.#site.setFuse();
    const arm = moment.at === 'moment' ? {} : { arm: { at: moment.at, step: moment.step, fuse: { ...moment.fuse, url: set.url } } };
    const end = moment.at === 'moment' ? this.#moment(moment) : Promise.race([set.blown, pause(fuseMsMax).then(() => 'fuse not reached')]);
    // Ends by itself only when it was to close the store; a save that is refused before the kill breaks the run.
    const closed = page.evaluate((order) => crashPage.load(order), { ...this.#expected.life(life), ...arm }).then(() => 'closed');
    closed.catch(() => undefined); // after the kill nobody asks
    const point = await Promise.race([end, closed]);
    await this.#kill(plan.means, set);
    return point;
  }

  /** So many acknowledgements from now, and so many ms later. */
  async #moment({ acknowledgements, ms }: Moment & { readonly at: 'moment' }): Promise<string> {
    const what = `${ms} ms after ${acknowledgements} acknowledgements`;
    await this.#call(what, this.#acknowledgements(acknowledgements));
    await pause(ms);
    return what;
  }

  async #kill(means: Means, set: SetFuse): Promise<void> {
    await this.#device.end(means);
    set.release();
  }

  /** Opens what the last kill left, judges it, settles what was under way, saves a little and judges again. Undefined when there was a fault. */
  async #reopen(): Promise<Page | undefined> {
    const page = await this.#device.page();
    const { backend } = this.#settings;
    const opened = await this.#answered(page.evaluate((order) => crashPage.open(order), this.#order));
    if (opened.kind === 'failed') return void this.judge.unreachable(opened.message);
    if (opened.value !== backend) throw new Error(`storage: ${opened.value} found, ${backend} expected`);
    if (!(await this.#isSound(page, { withPages: true }))) return undefined;
    if (this.#cutLife !== undefined) {
      const step = this.#expected.stepUnderWay(this.#cutLife, (group) => this.judge.isAcknowledged(group));
      const life = this.#expected.life(this.#cutLife);
      await this.#call(
        'asking again',
        page.evaluate(([asked, at]) => crashPage.saveAgain(asked, at), [life, step] as const),
      );
      this.#cutLife = undefined;
    }
    const life = this.#expected.life(this.#nextLife());
    await this.#call(
      'saving on',
      page.evaluate(([asked, count]) => crashPage.saveFirst(asked, count), [life, savesAfterEach] as const),
    );
    return (await this.#isSound(page, { withPages: false })) ? page : undefined;
  }

  /** `withPages`: every page of the file too, which is where a kill leaves its marks. */
  async #isSound(page: Page, { withPages }: { readonly withPages: boolean }): Promise<boolean> {
    const asked = { store: this.#settings.name, after: this.judge.verifiedSeq, withPages };
    const found = await this.#answered(page.evaluate((order) => crashPage.read(order), asked));
    if (found.kind === 'failed') this.judge.unreachable(found.message);
    else await this.judge.store(found.value);
    return this.judge.faults.length === 0;
  }

  /** A store that refuses is a finding; a page that hangs is a broken run. */
  async #answered<T>(
    work: Promise<T>,
  ): Promise<{ readonly kind: 'ok'; readonly value: T } | { readonly kind: 'failed'; readonly message: string }> {
    return this.#call(
      'an answer of the store',
      work.then(
        (value) => ({ kind: 'ok', value }) as const,
        (error: unknown) => {
          // The engine's own limit for a read: a slow machine, and no finding.
          if (/query 1: found more than \d+ ms/.test(firstLine(error))) throw error;
          return { kind: 'failed', message: firstLine(error) } as const;
        },
      ),
    );
  }

  #call<T>(what: string, work: Promise<T>): Promise<T> {
    return within(callMsMax, `${this.#settings.name}, round ${this.#place.round}: ${what}`, work);
  }

  get #order(): StoreOrder {
    const { name, backend, disk } = this.#settings;
    return { store: name, backend, disk };
  }

  #nextLife(): number {
    return this.#life++;
  }

  #take(acknowledged: Acknowledged): void {
    this.#journal.take(this.#place, acknowledged);
    this.judge.acknowledge(acknowledged);
    this.#onAcknowledged();
  }

  /** Resolves after that many from now. */
  #acknowledgements(count: number): Promise<void> {
    return new Promise((resolve) => {
      let left = count;
      this.#onAcknowledged = () => {
        if (--left <= 0) resolve();
      };
    });
  }
}

const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
