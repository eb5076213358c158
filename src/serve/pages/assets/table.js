// Tables. On a narrow screen each row becomes a card; the roles keep it a table for screen readers.

import { announce, button, el, freshId } from './dom.js';
import { get } from './api.js';
import { empty, fillPart } from './shell.js';

/**
 * `columns`: `{ head, cell(row), kind }`, where kind is `number`, `action`, `row` (the name of the row) or `wide`
 * (whole width on a narrow screen).
 */
export function table(caption, columns, rows, { hideCaption = false } = {}) {
  const cell = (column, row) => {
    const isHead = column.kind === 'row';
    const tag = isHead ? 'th' : 'td';
    return el(
      tag,
      {
        class: column.kind,
        scope: isHead ? 'row' : null,
        role: isHead ? 'rowheader' : 'cell',
        'data-label': column.head,
      },
      column.cell(row),
    );
  };
  return el(
    'div',
    { class: 'table-place', role: 'group', tabindex: '0', 'aria-label': caption },
    el(
      'table',
      { role: 'table' },
      el('caption', { class: hideCaption ? 'hidden-text' : null }, caption),
      el(
        'thead',
        { role: 'rowgroup' },
        el(
          'tr',
          { role: 'row' },
          columns.map((column) =>
            el(
              'th',
              {
                scope: 'col',
                role: 'columnheader',
                class: column.kind === 'number' ? 'number' : null,
              },
              column.kind === 'action' ? el('span', { class: 'hidden-text' }, column.head) : column.head,
            ),
          ),
        ),
      ),
      el(
        'tbody',
        { role: 'rowgroup' },
        rows.map((row) =>
          el(
            'tr',
            { role: 'row' },
            columns.map((column) => cell(column, row)),
          ),
        ),
      ),
    ),
  );
}

/** A list of the API, page by page. `question()` gives `[parts, parameters]`. */
export function pagedTable({ kind, caption, columns, question, limit = 50, nothing, what }) {
  const rows = el('div', { class: 'part' });
  const here = el('span', { class: 'muted' });
  const back = button('Newer', () => turn(-1));
  const on = button('Older', () => turn(1));
  const pager = el('nav', { class: 'pager', 'aria-label': `Pages of ${what}`, hidden: true }, back, here, on);
  let cursors = [undefined];
  let next = null;
  const place = el('div', { class: kind ? `paged ${kind}` : 'paged', id: freshId('paged') }, rows, pager);

  const load = () =>
    fillPart(rows, what, async () => {
      const [parts, parameters] = question();
      const page = await get(parts, { ...parameters, limit, cursor: cursors.at(-1) });
      next = page.next;
      const number = cursors.length;
      const isOnly = number === 1 && !next;
      pager.hidden = isOnly;
      back.disabled = number === 1;
      on.disabled = !next;
      here.textContent = `Page ${number}`;
      if (!page.items.length) return nothing?.() ?? empty('Nothing here.');
      return table(caption, columns, page.items, { hideCaption: true });
    });

  async function turn(step) {
    if (step > 0 && next) cursors.push(next);
    else if (step < 0 && cursors.length > 1) cursors.pop();
    await load();
    announce(`Page ${cursors.length} of ${what}.`);
    rows.querySelector('.table-place')?.focus({ preventScroll: true });
    place.scrollIntoView({ block: 'start' });
  }

  /** Back to the first page, because the question has changed. */
  place.reload = () => {
    cursors = [undefined];
    return load();
  };
  return place;
}
