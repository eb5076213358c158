// Charts. Places are approximate; every figure that is read is the exact text of the API. Below each chart a slider
// moves from day to day (mouse, finger or arrow keys), and a table holds all figures.

import { el, freshId, svg } from './dom.js';
import { amount, grouped, place, scaled, shortDay } from './format.js';
import { table } from './table.js';

const LEFT_LEAST = 44;
const GAP = 34;
const AXIS = 24;

/** Ticks of an axis from `low` to `high`: at most six, each an exact decimal. */
function ticks(low, high) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / 3;
  let exponent = Math.floor(Math.log10(rough));
  const lead = rough / 10 ** exponent;
  let step = 1;
  if (lead > 5) {
    exponent += 1;
  } else if (lead > 2) {
    step = 5;
  } else if (lead > 1) {
    step = 2;
  }
  const size = step * 10 ** exponent;
  const found = [];
  for (let count = Math.ceil(low / size - 1e-9); count * size <= high + size * 1e-9 && found.length < 8; count += 1) {
    found.push({ at: count * size, text: short(scaled(count * step, exponent)) });
  }
  return found;
}

/** A round number with a word for its thousands, by moving the point: `12 500 000` is `12.5 M`. */
function short(text) {
  const [sign, digits] = text.startsWith('-') ? ['\u2212', text.slice(1)] : ['', text];
  if (digits.includes('.') || digits.length < 5) return grouped(text);
  const words = ['', 'k', 'M', 'G', 'T'];
  const word = Math.min(Math.floor((digits.length - 1) / 3), 4);
  const cut = digits.length - word * 3;
  if (cut > 6)
    return `${sign}${digits[0]}${digits.slice(1).replace(/0+$/, '') ? `.${digits.slice(1).replace(/0+$/, '')}` : ''}e${digits.length - 1}`;
  const rest = digits.slice(cut).replace(/0+$/, '');
  return `${sign}${digits.slice(0, cut)}${rest ? `.${rest}` : ''}\u202f${words[word]}`;
}

function rangeOf(panel, points) {
  const values = points
    .flatMap((point) => panel.series.map((series) => series.value(point)))
    .filter((value) => value !== null && value !== undefined)
    .map(place);
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  return low === high ? [0, 1] : [low, high];
}

function drawPanel(panel, points, area) {
  const [low, high] = rangeOf(panel, points);
  const y = (value) => area.top + area.height - ((value - low) / (high - low)) * area.height;
  const slot = area.width / points.length;
  const x = (at) => area.left + slot * (at + 0.5);
  const nodes = [];
  for (const tick of ticks(low, high)) {
    nodes.push(
      svg('line', {
        class: tick.at === 0 ? 'axis' : 'grid',
        x1: area.left,
        x2: area.left + area.width,
        y1: y(tick.at),
        y2: y(tick.at),
      }),
    );
    nodes.push(svg('text', { class: 'tick', x: area.left - 6, y: y(tick.at) + 4, 'text-anchor': 'end' }, tick.text));
  }
  nodes.push(svg('text', { class: 'panel-name', x: area.left, y: area.top - 9 }, panel.label));
  for (const series of panel.series) {
    if (series.kind === 'bar') {
      const width = Math.max(1, Math.min(slot * 0.72, 28));
      points.forEach((point, at) => {
        const value = series.value(point);
        if (value === null || value === undefined) return;
        const top = Math.min(y(place(value)), y(0));
        const height = Math.abs(y(place(value)) - y(0));
        const sign = place(value) < 0 ? ' negative' : '';
        nodes.push(
          svg('rect', {
            class: `bar ${series.tone}${sign}`,
            x: x(at) - width / 2,
            y: top,
            width,
            height: Math.max(height, 0.5),
            rx: Math.min(2, width / 4),
          }),
        );
      });
    } else {
      const known = points
        .map((point, at) => [at, series.value(point)])
        .filter(([, value]) => value !== null && value !== undefined);
      const path = known
        .map(([at, value], index) => `${index ? 'L' : 'M'}${x(at).toFixed(1)} ${y(place(value)).toFixed(1)}`)
        .join('');
      nodes.push(svg('path', { class: `curve ${series.tone}`, d: path }));
      if (known.length < 3) {
        for (const [at, value] of known)
          nodes.push(svg('circle', { class: `dot ${series.tone}`, cx: x(at), cy: y(place(value)), r: 3 }));
      }
    }
  }
  return nodes;
}

/** Days below the axis: as many as there is room for. */
function drawDays(points, label, area, bottom) {
  const slot = area.width / points.length;
  const every = Math.max(1, Math.ceil(76 / slot));
  const nodes = [];
  for (let at = 0; at < points.length; at += every) {
    const x = area.left + slot * (at + 0.5);
    const anchor = x < area.left + 30 ? 'start' : x > area.left + area.width - 30 ? 'end' : 'middle';
    const shown = anchor === 'start' ? area.left : anchor === 'end' ? area.left + area.width : x;
    nodes.push(svg('text', { class: 'tick', x: shown, y: bottom, 'text-anchor': anchor }, label(points[at])));
  }
  return nodes;
}

function leftMargin(panels, points) {
  const longest = Math.max(
    ...panels.flatMap((panel) => ticks(...rangeOf(panel, points)).map((tick) => tick.text.length)),
  );
  return Math.max(LEFT_LEAST, Math.min(longest * 7 + 12, 110));
}

function draw(drawing, width, { panels, points, label, panelHeight }) {
  const left = leftMargin(panels, points);
  const area = { left, width: Math.max(width - left - 6, 60), height: panelHeight };
  const height = panels.length * (panelHeight + GAP) + AXIS;
  drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
  drawing.setAttribute('width', width);
  drawing.setAttribute('height', height);
  const nodes = panels.flatMap((panel, at) =>
    drawPanel(panel, points, { ...area, top: GAP + at * (panelHeight + GAP) }),
  );
  nodes.push(...drawDays(points, label, area, height - 6));
  const cursor = svg('line', { class: 'cursor', y1: GAP - 4, y2: height - AXIS });
  nodes.push(cursor);
  drawing.replaceChildren(...nodes);
  const slot = area.width / points.length;
  return {
    area,
    slot,
    moveTo(at) {
      const x = left + slot * (at + 0.5);
      cursor.setAttribute('x1', x);
      cursor.setAttribute('x2', x);
    },
  };
}

/**
 * A chart of panels, one above the other, over the same days.
 *
 * `panels`: `{ label, series: [{ name, kind: 'bar' | 'line', tone, value(point), unit }] }`; `label(point)` is the day.
 */
export function chart({ title, panels, points, label, dayHead = 'Day', panelHeight = 120 }) {
  const series = panels.flatMap((panel) => panel.series);
  const drawing = svg('svg', {
    class: 'drawing',
    role: 'img',
    'aria-label': `${title}. The figures are in the table below.`,
  });
  const box = el('div', { class: 'chart-box' }, drawing);
  const slider = freshId('day');
  const readout = el('output', { class: 'readout', for: slider });
  const input = el('input', {
    id: slider,
    type: 'range',
    class: 'days',
    min: 0,
    max: points.length - 1,
    step: 1,
    value: points.length - 1,
    'aria-label': `Day in the chart: ${title}`,
  });
  let drawn;

  const show = () => {
    const at = Number(input.value);
    const point = points[at];
    drawn?.moveTo(at);
    const figures = series.map((one) => [one, one.value(point)]);
    input.setAttribute(
      'aria-valuetext',
      `${label(point)}: ${figures.map(([one, value]) => `${one.name} ${value ?? 'unknown'} ${one.unit}`).join(', ')}`,
    );
    readout.replaceChildren(
      el('strong', {}, label(point)),
      ...figures.map(([one, value]) =>
        el(
          'span',
          {},
          el('span', { class: `key ${one.tone} ${one.kind}`, 'aria-hidden': 'true' }),
          `${one.name} `,
          amount(value, one.unit),
        ),
      ),
    );
  };
  const redraw = () => {
    const width = Math.floor(box.clientWidth);
    if (!width || !points.length) return;
    drawn = draw(drawing, width, {
      panels,
      points,
      label: (point) => shortDay(point.period ?? label(point)),
      panelHeight,
    });
    show();
  };
  const follow = (event) => {
    if (!drawn) return;
    const at = Math.floor((event.clientX - drawing.getBoundingClientRect().left - drawn.area.left) / drawn.slot);
    input.value = String(Math.max(0, Math.min(points.length - 1, at)));
    show();
  };
  input.addEventListener('input', show);
  drawing.addEventListener('pointermove', follow);
  drawing.addEventListener('pointerdown', follow);
  new ResizeObserver(redraw).observe(box);

  const rows = points.filter((point) => series.some((one) => (one.value(point) ?? null) !== null)).reverse();
  const figures = el('details', { class: 'figures' }, el('summary', {}, 'All figures as a table'));
  figures.addEventListener('toggle', () => {
    if (figures.open && figures.childElementCount === 1) {
      figures.append(
        table(
          title,
          [
            { head: dayHead, kind: 'row', cell: (point) => label(point) },
            ...series.map((one) => ({
              head: one.name,
              kind: 'number',
              cell: (point) => amount(one.value(point), one.unit),
            })),
          ],
          rows,
          { hideCaption: true },
        ),
      );
    }
  });
  show();
  return el('figure', { class: 'chart' }, el('figcaption', {}, title), box, input, readout, figures);
}

/** A small drawing of bars without figures; they are beside it. */
export function spark(values) {
  const width = 120;
  const height = 28;
  const high = Math.max(...values.map(place), 0) || 1;
  const slot = width / values.length;
  return svg(
    'svg',
    { class: 'spark', viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true', preserveAspectRatio: 'none' },
    values.map((value, at) => {
      const tall = Math.max((Math.max(place(value), 0) / high) * height, 0.8);
      return svg('rect', {
        class: 'bar first',
        x: at * slot + slot * 0.14,
        width: Math.max(slot * 0.72, 0.6),
        y: height - tall,
        height: tall,
      });
    }),
  );
}
