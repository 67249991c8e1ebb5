// The page as a whole: where one is, what keys and buttons do.

import { address, ask, element, grouped, keepLayers, LAYERS, plain, readAddress, say, state }
  from './state.js';
import { sideOf } from './overlay.js';
import { drawPage, moveFocus, perPage, showFilters, showMany, turnPage } from './pages.js';
import { copyLink, draw, jumpTo, mark, showOne, space, step } from './single.js';

const at = id => document.getElementById(id);

const KEYS = [
  ['← →', 'example before and after; among small pictures also ↑ ↓'],
  ['Home End', 'first and last example'], ['Page Up, Page Down', 'page before and after'],
  ['Enter', 'open the small picture'], ['Esc', 'back to all examples'],
  ['/', 'jump to a number or an image path'], ['x', 'mark as bad, or not'],
  ['l', 'copy a permanent link'], ['w', 'suspects, worst first; again: all'],
  ...LAYERS.map(([, key, text]) => [key, `${text} on and off`]),
  ['p c o', 'in space: the person large, all cameras, as its own camera sees it'],
  ['z', 'pixels sharp or smooth'], ['?', 'this list'],
];

async function guarded(action) {
  try {
    await action();
  } catch (error) {
    say(error.message);
  }
}

const isOne = () => state.image !== null;

async function route() {
  readAddress();
  say('');
  drawSplits();
  drawOther();
  if (state.other) return;
  const one = isOne();
  at('many').hidden = one;
  at('one').hidden = !one;
  if (one) {
    await showOne();
    drawSplits();
    await showFilters();
  } else {
    state.shown = null;
    document.title = `${plain(state.about.name)} – PosePile`;
    await showMany();
  }
}

// A link of a report may lead to the viewer of another dataset, which has the same port.
function drawOther() {
  const { about, other } = state;
  at('other').hidden = !other;
  at('filters').hidden = Boolean(other);
  if (!other) return;
  at('many').hidden = true;
  at('one').hidden = true;
  document.title = `${plain(other.name)} is not shown here – PosePile`;
  at('other').replaceChildren(
    element('h2', {}, `This link is of ${plain(other.name)}`),
    element('p', {}, `This viewer shows ${plain(about.name)}. In a terminal:`),
    element('pre', {}, plain(other.command)),
    element('p', { class: 'small' }, 'If both are to run, the second takes the next port and ',
      'prints its own address.'),
    element('a', { href: address({ image: null, query: {}, from: 0 }) },
      `to the examples of ${plain(about.name)}`));
}

function drawSplits() {
  const links = Object.entries(state.about.splits).filter(([, n]) => n).map(([split, n]) =>
    element('a', { href: address({ split, image: null, query: {}, from: 0 }),
      'aria-current': split === state.split ? 'true' : null }, `${split} ${grouped(n)}`));
  at('splits').replaceChildren(...links);
}

function drawLayers() {
  at('layers').replaceChildren(...LAYERS.map(([name, key, text]) => element('button', {
    'data-layer': name, title: isMissing(name) || `${text} (${key})`,
    'aria-pressed': String(state.layers[name] && !isMissing(name)),
    disabled: isMissing(name) ? '' : null, onclick: () => toggle(name),
  }, text.replace(' of joints', ''))));
}

// What is to be said of a layer that no example of the set has.
const isMissing = name => (state.about.has[name] ?? true ? ''
  : `no ${LAYERS.find(([layer]) => layer === name)[2]}s in this set`);

function toggle(name) {
  if (isMissing(name)) {
    say(isMissing(name), true);
    return;
  }
  state.layers[name] = !state.layers[name];
  keepLayers();
  drawLayers();
  if (isOne()) draw(); else drawPage();
}

function drawLegend() {
  const sides = { left: "the person's left", right: "the person's right", middle: 'middle' };
  const there = new Set(state.about.joints.map(sideOf));
  const colors = { left: '#ff8c00', right: '#00aaff', middle: '#5ae65a', box: '#dddd00',
    mask: '#ff00a0', valid: '#b8b8b8' };
  const parts = [...Object.entries(sides).filter(([side]) => there.has(side)),
    ...[['box', 'box'], ['mask', 'mask'], ['valid', 'border of the valid area']]
      .filter(([name]) => !isMissing(name))];
  at('legend').replaceChildren(...parts.map(([name, text]) => {
    const swatch = element('i');
    swatch.style.background = colors[name];
    return element('span', { class: 'key' }, swatch, text);
  }));
}

const toMany = () => {
  const rank = state.shown?.rank ?? 0;
  const from = rank - (rank % perPage());
  location.hash = address({ image: null, from });
};

function worstFirst() {
  const query = { ...state.query };
  if (query.quality) delete query.quality; else query.quality = 'any';
  location.hash = address({ query, from: 0, image: null });
}

async function jump(text) {
  const asked = text.trim();
  if (!asked) return;
  if (/^[\d,. ]+$/.test(asked)) {
    await jumpTo(asked.replace(/[,. ]/g, ''));
    at('many').hidden = true;
    at('one').hidden = false;
    drawSplits();
    draw(true);
    return;
  }
  try {
    const found = await ask('example', { split: state.split, image: asked });
    location.hash = address({ split: found.split, image: found.path, query: {} });
  } catch {
    location.hash = address({ query: { path: asked }, from: 0, image: null });
  }
}

function showKeys() {
  at('keys').showModal();
  at('keys').scrollTop = 0;
}

const PLAIN_KEYS = {
  x: () => isOne() && mark(), l: () => isOne() && copyLink(), w: worstFirst,
  z: () => at('frame').classList.toggle('sharp'),
  p: () => space.view('person'), c: () => space.view('cameras'), o: () => space.view('own'),
  '?': showKeys, '/': () => { at('jump-to').focus(); at('jump-to').select(); },
  Escape: () => isOne() && toMany(),
  Home: () => isOne() ? step(-Infinity) : null, End: () => isOne() ? step(Infinity) : null,
  PageUp: () => isOne() ? null : turnPage(-1), PageDown: () => isOne() ? null : turnPage(1),
  ...Object.fromEntries(LAYERS.map(([name, key]) => [key, () => toggle(name)])),
};

document.addEventListener('keydown', event => {
  const typing = event.target.closest('input, select, textarea');
  if (event.key === 'Escape' && typing) {
    typing.blur();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || at('keys').open) return;
  if (event.key.startsWith('Arrow')) {
    if (!isOne()) {
      if (moveFocus(event.key)) event.preventDefault();
    } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
      event.preventDefault();
      guarded(() => step(event.key === 'ArrowLeft' ? -1 : 1));
    }
    return;
  }
  const action = PLAIN_KEYS[event.key];
  if (!action) return;
  if (event.key === '/' || (event.key !== 'Enter' && !event.key.startsWith('Page'))) {
    event.preventDefault();
  }
  guarded(async () => action());
});

const click = (id, action) => at(id).addEventListener('click', () => guarded(async () => action()));
click('help', PLAIN_KEYS['?']);
click('up', toMany);
click('previous', () => step(-1));
click('next', () => step(1));
click('copy', copyLink);
click('mark', () => mark());
click('clear', () => { location.hash = address({ query: {}, from: 0, image: null }); });
for (const fit of ['person', 'cameras', 'own']) click(`fit-${fit}`, () => space.view(fit));
for (const button of document.querySelectorAll('#many .back')) {
  button.addEventListener('click', () => turnPage(-1));
}
for (const button of document.querySelectorAll('#many .on')) {
  button.addEventListener('click', () => turnPage(1));
}
at('jump').addEventListener('submit', event => {
  event.preventDefault();
  const box = at('jump-to');
  guarded(() => jump(box.value));
  box.blur();
});
at('why').addEventListener('submit', event => {
  event.preventDefault();
  guarded(() => mark(true, at('reason').value));
  at('reason').blur();
});
window.addEventListener('hashchange', () => guarded(route));

guarded(async () => {
  state.about = JSON.parse(at('about').textContent);
  const { about } = state;
  at('home').textContent = plain(about.name);
  const facts = [about.kind.toUpperCase(), `${about.joints.length} joints`];
  if (about.miniature) facts.push('made-up miniature, not the real data');
  at('kind').textContent = plain(facts.join(' · '));
  at('key-list').replaceChildren(...KEYS.map(([key, text]) =>
    element('tr', {}, element('td', {}, element('kbd', {}, key)), element('td', {}, text))));
  if (window.innerWidth < 720) at('filters').open = false;
  drawLayers();
  drawLegend();
  await route();
});
