// The first start: open a new shop or join one by link. Ends when this browser profile's store holds a shop.

import { copyText } from '../parts/clipboard.ts';
import { button, openDialog } from '../parts/dialog.ts';
import { field, h } from '../parts/dom.ts';
import type { Workspace } from '../session.ts';
import { sayError } from '../words.ts';

/** Names the engine takes: docs/format.md#acts. */
const namePattern = /^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u;
const nameLengthMax = 40;
const nameHint = 'Letters, digits, spaces, dots and dashes.';

export const invitePrefix = 'foldlog-invite';

/** Resolves once the store holds a shop. `link` is an invite the page was opened with. */
export function firstStart(app: HTMLElement, ws: Workspace, link: string | undefined): Promise<void> {
  return new Promise((done) => {
    if (link === undefined) showWelcome(app, ws, done);
    else showJoin(app, ws, done, link);
  });
}

function showWelcome(app: HTMLElement, ws: Workspace, done: () => void): void {
  show(
    app,
    h('h1', {}, 'Open your till'),
    h('p', { class: 'lead' }, 'It sells with or without a network, and every sale is kept on this device first.'),
    h(
      'div',
      { class: 'choices' },
      choice('Open a new shop', 'Begin with a sample catalogue of 60 gift-shop products.', () => showCreate(app, ws, done)),
      choice('Join a shop', 'With a link from a till that is already selling.', () => showJoin(app, ws, done, undefined)),
    ),
  );
}

function showCreate(app: HTMLElement, ws: Workspace, done: () => void): void {
  const name = nameField('Name of the shop', 'shop', '');
  const device = nameField('Name of this till', 'till', 'Front desk');
  const submit = h('button', { type: 'submit', class: 'button button-primary button-wide' }, 'Open the shop');
  showForm(
    app,
    'A new shop',
    [name.box, device.box, submit],
    () => showWelcome(app, ws, done),
    async () => {
      const names = { name: typedName(name.input), device: typedName(device.input) };
      if (names.name === undefined || names.device === undefined) return;
      const { recoveryKey } = await ws.create({ name: names.name, device: names.device });
      await showRecoveryKey(recoveryKey);
      done();
    },
  );
  name.input.focus();
}

function showJoin(app: HTMLElement, ws: Workspace, done: () => void, link: string | undefined): void {
  const given = field(
    'Link',
    { name: 'link', required: true, autocomplete: 'off', spellcheck: 'false', inputmode: 'url', value: link ?? '' },
    'From the first till: Tills, then “Add a device”.',
  );
  const device = nameField('Name of this till', 'till', '', 'As it will appear in the list of tills.');
  const submit = h('button', { type: 'submit', class: 'button button-primary button-wide' }, 'Join the shop');
  const body =
    link === undefined
      ? [given.box, device.box, submit]
      : [h('p', { class: 'lead' }, 'You were given a link to a shop. This device becomes one of its tills.'), device.box, submit];
  showForm(
    app,
    'Join a shop',
    body,
    () => showWelcome(app, ws, done),
    async () => {
      const name = typedName(device.input);
      if (name === undefined) return;
      await ws.join(given.input.value.trim(), { device: name });
      done();
    },
  );
  (link === undefined ? given.input : device.input).focus();
}

/** The one secret a person keeps. It is shown once: nothing on this device remembers it. */
function showRecoveryKey(key: string): Promise<void> {
  return new Promise((done) => {
    const shown = h('output', { class: 'secret' }, key);
    const copy = button('Copy', () => void copyText(key, shown));
    const kept = h('input', { type: 'checkbox', id: 'recovery-kept' });
    const go = button('Start selling', () => dialog.close(), 'primary');
    go.disabled = true;
    kept.addEventListener('change', () => {
      go.disabled = !kept.checked;
    });
    const dialog = openDialog({
      title: 'Keep your recovery key',
      isFirm: true,
      body: [
        h(
          'p',
          {},
          'Should every till of the shop be lost, this key is what proves that the shop is yours. It is shown only now: write it down, or keep it where you keep passwords.',
        ),
        shown,
        h('label', { class: 'check', for: 'recovery-kept' }, kept, 'I have stored it in a safe place'),
      ],
      actions: [go, copy],
      onClose: done,
    });
  });
}

function nameField(label: string, name: string, value: string, hint = nameHint) {
  return field(label, { name, value, required: true, maxlength: nameLengthMax, autocomplete: 'off' }, hint);
}

/** The name in a field; undefined when it is none, and the field says so. */
function typedName(input: HTMLInputElement): string | undefined {
  const name = input.value.trim();
  const isGood = namePattern.test(name) && !name.includes('..');
  input.setCustomValidity(isGood ? '' : `Use a name of these only: ${nameHint.toLowerCase()}`);
  if (!isGood) {
    input.reportValidity();
    input.addEventListener('input', () => input.setCustomValidity(''), { once: true });
  }
  return isGood ? name : undefined;
}

function choice(title: string, text: string, onclick: () => void): HTMLElement {
  return h('button', { type: 'button', class: 'choice', onclick }, h('strong', {}, title), h('span', {}, text));
}

function show(app: HTMLElement, ...body: readonly HTMLElement[]): void {
  app.replaceChildren(h('main', { class: 'start' }, h('div', { class: 'start-card' }, ...body)));
}

function showForm(app: HTMLElement, title: string, body: readonly HTMLElement[], back: () => void, submit: () => Promise<void>): void {
  const trouble = h('div', { role: 'alert' });
  const form = h('form', { class: 'form' }, ...body, trouble);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    trouble.replaceChildren();
    form.classList.add('is-busy');
    form.inert = true;
    submit()
      .catch((error: unknown) => trouble.replaceChildren(troubleBox(error)))
      .finally(() => {
        form.classList.remove('is-busy');
        form.inert = false;
      });
  });
  show(app, h('h1', {}, title), form, h('button', { type: 'button', class: 'button button-link', onclick: back }, 'Back'));
}

/** What went wrong, what to do, and the engine's own words for whoever helps. */
export function troubleBox(error: unknown): HTMLElement {
  const said = sayError(error);
  return h('div', { class: 'trouble' }, h('strong', {}, said.title), h('p', {}, said.todo), details(said.detail));
}

export function details(text: string): HTMLElement {
  return h('details', {}, h('summary', {}, 'Details'), h('p', { class: 'detail' }, text));
}
