// What chance decides in a simulated run. Each decision is drawn by name (component, entity, counter) and not from one stream, so that taking a
// step out of a run moves no other decision: this is what makes shrinking work.

/** Numbers from 0 to below 1, each a function of the seed and its name. */
export class Dice {
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
  }

  at(component: string, entity: string | number, counter: number): number {
    let state = this.#seed ^ 0x811c9dc5;
    const name = `${component}/${entity}`;
    for (let i = 0; i < name.length; i++) state = Math.imul(state ^ name.charCodeAt(i), 0x01000193);
    state = mixed(state) ^ Math.imul(counter + 1, 0x9e3779b9);
    return mixed(mixed(state) + this.#seed) / 2 ** 32;
  }

  /** From 0 to below `count`. */
  below(count: number, component: string, entity: string | number, counter: number): number {
    return Math.floor(this.at(component, entity, counter) * count);
  }

  /** Draws of one entity, one after the other. */
  stream(component: string, entity: string | number): () => number {
    let counter = 0;
    return () => this.at(component, entity, counter++);
  }

  bytes(length: number, component: string, entity: string | number): Uint8Array<ArrayBuffer> {
    const next = this.stream(component, entity);
    return Uint8Array.from({ length }, () => Math.floor(next() * 256));
  }
}

function mixed(value: number): number {
  let state = value >>> 0;
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
