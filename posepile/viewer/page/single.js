// One example: its picture, its pose in space, the other views of the instant, its facts.

import { address, ask, element, grouped, linkTo, pictureOf, plain, say, state, tell }
  from './state.js';
import { overlay } from './overlay.js';
import { showFilters, tile } from './pages.js';
import { Space } from './space.js';

const at = id => document.getElementById(id);
const space = new Space(at('space'));
const FACTS = {
  activity_name: 'activity', scene_name: 'scene',
};
const ahead = new Map();   // what was asked for before it is needed
let asked = 0;

async function fetched(parameters) {
  const key = new URLSearchParams(parameters).toString();
  if (!ahead.has(key)) return ask('example', parameters);
  const answer = ahead.get(key);
  ahead.delete(key);
  return answer;
}

function prepare(parameters) {
  const key = new URLSearchParams(parameters).toString();
  if (ahead.has(key)) return;
  const answer = ask('example', parameters);
  ahead.set(key, answer);
  while (ahead.size > 6) ahead.delete(ahead.keys().next().value);
  answer.then(found => { new Image().src = pictureOf(found.split, found.position, false); })
    .catch(() => ahead.delete(key));
}

const filters = () => ({ ...state.query, split: state.split });

// Shows the example that the address names.
export async function showOne() {
  const { shown } = state;
  const same = shown && shown.path === state.image && shown.split === state.split
    && (shown.facts.person || 0) === state.person && shown.asked === JSON.stringify(filters());
  if (same) return;
  await load({ ...filters(), image: state.image, person: state.person });
}

// Goes on among those that meet the filters.
export async function step(by) {
  const { shown } = state;
  if (!shown) return;
  if (shown.rank === null) {
    say('this example does not meet the filters; Esc shows those that do');
    return;
  }
  const rank = by === -Infinity ? 0 : by === Infinity ? shown.total - 1 : shown.rank + by;
  if (rank < 0 || rank >= shown.total) {
    say(rank < 0 ? 'this is the first' : 'this is the last', true);
    return;
  }
  await load({ ...filters(), rank }, by);
}

export const jumpTo = position => load({ ...filters(), position });

async function load(parameters, direction = 0) {
  const own = ++asked;
  const found = await fetched(parameters);
  if (own !== asked) return;
  state.split = found.split;
  state.image = found.path;
  state.person = found.facts.person || 0;
  found.asked = JSON.stringify(filters());
  state.shown = found;
  const here = address();
  // Back leads to the page of many, not through each example that was passed.
  if (location.hash !== here) {
    if (direction || !at('one').hidden) history.replaceState(null, '', here);
    else history.pushState(null, '', here);
  }
  draw(true);
  showTogether(own).catch(error => say(error.message));
  for (const by of direction < 0 ? [-1] : [1, -1]) {
    const rank = found.rank === null ? -1 : found.rank + by;
    if (rank >= 0 && rank < found.total) prepare({ ...filters(), rank });
  }
}

export function draw(anew = false) {
  const { shown } = state;
  if (!shown) return;
  if (anew) {
    drawPicture(shown);
    drawFacts(shown);
    drawMark(shown);
    space.show(shown, []);
    at('solid').hidden = !shown.pose.length && !shown.camera;
    window.scrollTo(0, 0);
  }
  drawOverlay(shown);
}

function drawPicture(shown) {
  const all = shown.total === state.about.splits[shown.split] && !state.query.quality;
  const place = shown.rank === null ? `not among the ${grouped(shown.total)} found`
    : `${grouped(shown.rank + 1)}. of ${grouped(shown.total)} found`;
  at('rank').textContent = all ? `position ${grouped(shown.position)} of ${grouped(shown.total)}`
    : `${place}, position ${grouped(shown.position)}`;
  at('previous').disabled = !shown.rank;
  at('next').disabled = shown.rank === null || shown.rank + 1 >= shown.total;
  at('path').textContent = plain(shown.path);
  document.title = `${plain(shown.path)} – ${plain(state.about.name)}`;
  at('frame').querySelector('.lost')?.remove();
  const image = element('img', { id: 'picture', alt: '' });
  image.addEventListener('load', () => drawOverlay(shown));
  image.addEventListener('error', () => at('frame').append(
    element('span', { class: 'lost' }, 'the picture cannot be read: posepile verify')));
  image.src = pictureOf(shown.split, shown.position, false);
  at('picture').replaceWith(image);
}

function drawOverlay(shown) {
  if (shown !== state.shown) return;
  at('frame').querySelector('svg')?.remove();
  const image = at('picture');
  const natural = [image.naturalWidth, image.naturalHeight];
  // Browsers count a picture that its camera says lies on its side as turned, even unturned.
  const turned = shown.size && natural[0] === shown.size[1] && natural[1] === shown.size[0];
  const size = natural[0] && !turned ? natural : shown.size;
  if (size) at('frame').append(overlay(shown, size));
}

function drawFacts(shown) {
  const rows = [['position', `${shown.split} ${shown.position}`]];
  for (const [name, value] of Object.entries(shown.facts)) {
    rows.push([FACTS[name] || name, plain(value)]);
  }
  if (shown.size) rows.push(['picture', `${shown.size[0]} × ${shown.size[1]} pixels`]);
  if (shown.box) rows.push(['box', shown.box.map(v => v.toFixed(1)).join(', ')]);
  const n = state.about.joints.length;
  rows.push(['joints', `${shown.joints.length} in the picture, ${shown.pose.length} in space, of ${n}`]);
  if (shown.camera) {
    const place = shown.camera.position.map(v => (v / 1000).toFixed(2)).join(', ');
    const lens = shown.camera.lens ? ', with a lens' : '';
    rows.push(['camera', `at ${place} m, focal length ${shown.camera.intrinsics[0].toFixed(0)} pixels${lens}`]);
  }
  const has = Object.entries(shown.has).filter(([, there]) => there).map(([name]) => name);
  if (has.length) rows.push(['also has', has.join(', ')]);
  at('facts').replaceChildren(...rows.map(([name, value]) =>
    element('tr', {}, element('th', { scope: 'row' }, name), element('td', {}, value))));
}

function drawMark(shown) {
  const button = at('mark');
  const marked = shown.marked !== null;
  button.textContent = marked ? 'marked as bad' : 'mark bad';
  button.setAttribute('aria-pressed', marked);
  at('why').hidden = !marked;
  at('reason').value = shown.marked || '';
  at('odd').textContent = shown.odd.map(one => plain(one.reason)).join(' · ');
}

export async function mark(on = null, reason = null) {
  const { shown } = state;
  if (!shown) return;
  const wanted = on ?? shown.marked === null;
  const why = reason ?? (shown.odd[0]?.reason || '');
  const said = await tell('mark',
    { path: shown.path, reason: why, on: wanted, typed: reason !== null });
  shown.marked = said.marked;
  ahead.clear();
  if (shown === state.shown) drawMark(shown);
  showFilters().catch(error => say(error.message));
  const meant = said.covers > 1 ? `, ${grouped(said.covers)} examples` : '';
  say(wanted ? `listed in ${said.file}${meant}` : `taken off ${said.file}`, true);
}

export async function copyLink() {
  const link = linkTo(state.image, state.person);
  try {
    await navigator.clipboard.writeText(link);
    say(`copied ${link}`, true);
  } catch {
    window.prompt('permanent link', link);
  }
}

async function showTogether(own) {
  const { shown } = state;
  const { items } = await ask('together', { split: shown.split, position: shown.position });
  if (own !== asked) return;
  const views = new Set(items.map(item => item.view)).size;
  at('together-title').hidden = items.length < 2;
  at('together-title').textContent = views > 1
    ? `${items.length} examples of this instant, ${views} views` : `${items.length} in this picture`;
  const tiles = items.length < 2 ? [] : items.map(item => {
    const label = views > 1 ? `view ${item.view}` : `person ${item.person}`;
    const made = tile(item, label);
    if (item.position === shown.position) made.classList.add('own');
    return made;
  });
  at('together').replaceChildren(...tiles);
  space.show(shown, items.filter(item => item.position !== shown.position));
}

export { space };
