// The owner's list of products: a new price, a new product, or one that is no longer sold. Each is an op in the catalogue; tills take it over.

import { money, parseMoney, typedMoney } from '../money.ts';
import { button, note, openDialog } from '../parts/dialog.ts';
import { field, h, keyed, part, setText } from '../parts/dom.ts';
import type { Session } from '../session.ts';
import type { Product } from '../shop.ts';
import { troubleBox } from './start.ts';

export function openProducts(session: Session): void {
  const list = h('ul', { class: 'product-list', 'aria-label': 'Products' });
  const renderProducts = keyed<Product>(list, {
    key: ({ sku }) => sku,
    make: ({ sku }) =>
      h(
        'li',
        {},
        h(
          'button',
          {
            type: 'button',
            class: 'sale',
            onclick: () =>
              openProduct(
                session,
                session.products.value?.find((product) => product.sku === sku),
              ),
          },
          h('span', { class: 'sale-what', 'data-part': 'name' }),
          h('span', { class: 'footnote', 'data-part': 'shelf' }),
          h('span', { class: 'sale-total', 'data-part': 'price' }),
        ),
      ),
    update: (element, product) => {
      setText(part(element, 'name'), product.name);
      setText(part(element, 'shelf'), product.category);
      setText(part(element, 'price'), money(product.cents));
    },
  });
  const stop = session.products.subscribe((products) => renderProducts(products ?? []));
  openDialog({
    title: 'Products',
    class: 'dialog-tall',
    body: [list],
    actions: [button('New product', () => openProduct(session, undefined), 'primary')],
    onClose: stop,
  });
}

function openProduct(session: Session, product: Product | undefined): void {
  const name = field('Name', { required: true, maxlength: 60, value: product?.name ?? '', autocomplete: 'off' });
  const price = field('Price', {
    required: true,
    inputmode: 'decimal',
    value: product === undefined ? '' : typedMoney(product.cents),
    autocomplete: 'off',
  });
  const shelf = field('Shelf', { required: true, maxlength: 60, value: product?.category ?? '', list: 'shelf-names', autocomplete: 'off' });
  const shelves = [...new Set((session.products.value ?? []).map(({ category }) => category))];
  const names = h('datalist', { id: 'shelf-names' }, ...shelves.map((value) => h('option', { value })));
  const trouble = h('div', { role: 'alert' });
  const save = h('button', { type: 'submit', class: 'button button-primary' }, 'Save');
  const retire =
    product === undefined
      ? []
      : [
          button(
            'Stop selling',
            () => void finish(() => session.retireProduct(product.sku), `${product.name} is no longer sold`),
            'danger',
          ),
        ];
  const form = h(
    'form',
    { class: 'form' },
    name.box,
    price.box,
    shelf.box,
    names,
    trouble,
    h('div', { class: 'dialog-actions' }, save, ...retire),
  );

  const finish = async (work: () => Promise<void>, news: string): Promise<void> => {
    trouble.replaceChildren();
    try {
      await work();
      dialog.close();
      note('news', news);
    } catch (error) {
      trouble.replaceChildren(troubleBox(error));
    }
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const cents = parseMoney(price.input.value);
    price.input.setCustomValidity(cents === undefined ? 'An amount such as 4.90' : '');
    if (cents === undefined) {
      price.input.reportValidity();
      price.input.addEventListener('input', () => price.input.setCustomValidity(''), { once: true });
      return;
    }
    const listed = { sku: product?.sku ?? newSku(), name: name.input.value.trim(), category: shelf.input.value.trim(), cents };
    void finish(() => session.listProduct(listed), `${listed.name} is sold at ${money(cents)}`);
  });
  const dialog = openDialog({ title: product?.name ?? 'New product', body: [form] });
  (product === undefined ? name : price).input.select();
}

/** Short enough to write on a label; two alike among a shop's products are not to be expected. */
function newSku(): string {
  return `P-${crypto.randomUUID().slice(0, 8).toUpperCase()}`;
}
