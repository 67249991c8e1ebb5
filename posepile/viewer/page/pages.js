// The page of many examples, and the filters that choose them.

import { address, ask, element, grouped, pictureOf, plain, say, state } from './state.js';
import { overlay } from './overlay.js';

const LABELS = {
  dataset: 'dataset', subject: 'subject', activity_name: 'activity', scene_name: 'scene',
  motion: 'motion', recording: 'recording', sequence: 'sequence', view: 'view',
};
const MANY = 200;  // values of a column from which on one types instead of choosing

export const perPage = () => (window.innerWidth < 720 ? 24 : 48);

let last = null;    // what the server said last
let asked = 0;      // number of the newest request: older answers are not shown
let waiting = 0;

export async function showMany() {
  const own = ++asked;
  const query = { ...state.query, split: state.split };
  const page = await ask('page', { ...query, from: state.from, n: perPage() });
  if (own !== asked) return;
  last = page;
  drawPage();
  const found = await ask('facets', query);
  if (own === asked) drawFilters(found);
}

export async function showFilters() {
  const own = ++asked;
  const found = await ask('facets', { ...state.query, split: state.split });
  if (own === asked) drawFilters(found);
}

export function drawPage() {
  if (!last) return;
  const { items, total, of, from } = last;
  const all = total === of && !state.query.quality;
  // Positions begin at 0, as in Python; of what was found the first is the first.
  const first = all ? from : from + 1;
  const range = `${grouped(first)}–${grouped(first + items.length - 1)}`;
  const text = all && total ? `positions ${range} of ${grouped(total)} in ${state.split}`
    : total ? `${range} of ${grouped(total)} found, of ${grouped(of)} in ${state.split}`
      : `nothing found, of ${grouped(of)} in ${state.split}`;
  document.getElementById('shown').textContent = text;
  document.querySelector('#many .again').textContent = text;
  for (const button of document.querySelectorAll('#many .back')) button.disabled = from <= 0;
  for (const button of document.querySelectorAll('#many .on')) {
    button.disabled = from + items.length >= total;
  }
  document.getElementById('tiles').replaceChildren(...items.map(item => tile(item)));
}

export function turnPage(step) {
  if (!last) return;
  const from = Math.max(0, state.from + step * perPage());
  if (from !== state.from && from < last.total) location.hash = address({ from, image: null });
}

// One small picture with what is drawn over it; `label` stands under it instead of its path.
export function tile(item, label = null) {
  const { path, person } = item;
  const frame = element('span', { class: 'fit' });
  const image = element('img', { alt: '', decoding: 'async',
    src: pictureOf(state.split, item.position, true) });
  // The size that is stored may be wrong or missing; the picture is of this shape in any case.
  const draw = () => {
    const size = item.size || [image.naturalWidth, image.naturalHeight];
    if (size[0] && size[1]) frame.append(overlay(item, size, true));
  };
  if (item.size) draw(); else image.addEventListener('load', draw);
  image.addEventListener('error', () => frame.replaceChildren('picture cannot be read'));
  frame.prepend(image);
  const note = [];
  if (item.marked) note.push(element('span', { class: 'badge' }, 'marked bad '));
  if (item.odd.length) note.push(element('span', { class: 'badge' }, `${item.odd.join(', ')} `));
  const place = item.view && item.frame >= 0 ? `${item.view} · ${item.frame}` : path;
  if (label !== null || place === path) {
    note.push(item.frame >= 0 ? `frame ${item.frame}` : `no. ${grouped(item.position)}`);
  } else {
    note.push(item.sequence.split('/').pop() || `no. ${grouped(item.position)}`);
  }
  return element('a', {
    class: `tile${item.marked ? ' marked' : ''}`, title: plain(item.why ? `${item.why}\n${path}` : path),
    href: address({ image: path, person }), 'data-position': item.position,
  }, element('span', { class: 'frame' }, frame),
  element('span', { class: 'what' }, element('bdi', {}, plain(label ?? place))),
  element('span', { class: 'note' }, ...note));
}

function choose(name, value) {
  const query = { ...state.query };
  if (value) query[name] = value; else delete query[name];
  location.hash = address({ query, from: 0, image: null });
}

function chooser(name, values, distinct, everything) {
  const now = state.query[name] || '';
  const listed = values.some(([text]) => text === now);
  const change = event => choose(name, event.target.value.trim());
  if (distinct > MANY || (now && !listed)) {
    const id = `values-${name}`;
    return [
      element('input', { type: 'text', list: id, value: now, placeholder: everything,
        spellcheck: 'false', 'data-filter': name, onchange: change }),
      element('datalist', { id }, ...values.map(([text, n]) =>
        element('option', { value: text, label: grouped(n) }))),
    ];
  }
  const options = values.map(([text, n, shown]) => {
    const option = element('option', { value: text }, `${plain(shown ?? text)} (${grouped(n)})`);
    option.selected = text === now;
    return option;
  });
  return [element('select', { 'data-filter': name, onchange: change },
    element('option', { value: '' }, everything), ...options)];
}

function labelled(name, text, parts) {
  return element('label', { class: state.query[name] ? 'set' : '' }, text, ...parts);
}

function drawFilters({ facets, quality, marked }) {
  const made = facets.map(({ name, values, distinct }) =>
    labelled(name, LABELS[name], chooser(name, values, distinct, `all ${grouped(distinct)}`)));
  made.unshift(labelled('quality', 'suspects, worst first', qualityParts(quality)));
  const yes = [['yes', marked, 'only these'], ['no', 0, 'all others']];
  const choice = element('select', { 'data-filter': 'marked',
    onchange: event => choose('marked', event.target.value) },
  element('option', { value: '' }, 'with all others'),
  ...yes.map(([value, , text]) => {
    const option = element('option', { value }, text);
    option.selected = state.query.marked === value;
    return option;
  }));
  made.push(labelled('marked', `marked as bad (${grouped(marked)} ${marked === 1 ? 'line' : 'lines'})`, [choice]));
  made.push(labelled('path', 'image path contains', [element('input', { type: 'text',
    'data-filter': 'path', value: state.query.path || '', spellcheck: 'false',
    onchange: event => choose('path', event.target.value) })]));
  keepingFocus(() => document.getElementById('filter-list').replaceChildren(...made));
  const active = Object.entries(state.query).filter(([name, value]) => value && name !== 'at');
  document.getElementById('active').textContent = active.length ? `(${active.length})` : '';
  document.getElementById('clear').hidden = !active.length;
  document.getElementById('listed').textContent =
    `Marked examples are listed in ${plain(state.about.exclusions)}`;
  document.getElementById('listed-in').textContent = plain(state.about.exclusions);
}

// A chooser is made anew while it has the keyboard.
function keepingFocus(change) {
  const name = document.activeElement?.dataset?.filter;
  change();
  if (name) document.querySelector(`[data-filter="${CSS.escape(name)}"]`)?.focus();
}

function qualityParts({ state: progress, problem, total, kinds }) {
  clearTimeout(waiting);
  if (progress === 'looking') {
    waiting = setTimeout(pollQuality, 1500);
    return [element('select', { disabled: '' }, element('option', {}, 'still looking for them …'))];
  }
  if (progress === 'failed') {
    return [element('select', { disabled: '' }, element('option', {}, 'not known')),
      element('span', { class: 'small' }, plain(problem))];
  }
  if (!kinds.length) {
    return [element('select', { disabled: '' }, element('option', {}, 'none found'))];
  }
  const values = [['any', total, 'all kinds'],
    ...kinds.map(({ kind, count, meaning }) => [kind, count, meaning])];
  return chooser('quality', values, values.length, 'all examples');
}

async function pollQuality() {
  try {
    const found = await ask('quality', { ...state.query, split: state.split });
    if (found.state === 'looking') waiting = setTimeout(pollQuality, 1500);
    else if (state.query.quality && state.image === null) await showMany();
    else await showFilters();
  } catch (error) {
    say(error.message);
  }
}

// Keys move through the small pictures as they lie on the page.
export function moveFocus(key) {
  const tiles = [...document.querySelectorAll('#tiles .tile')];
  if (!tiles.length) return false;
  const now = tiles.indexOf(document.activeElement);
  const row = tiles.filter(t => t.offsetTop === tiles[0].offsetTop).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row }[key];
  const next = now < 0 ? 0 : now + step;
  if (next < 0) turnPage(-1);
  else if (next >= tiles.length && step > 0) turnPage(1);
  tiles[Math.min(Math.max(next, 0), tiles.length - 1)].focus();
  return true;
}
