// What is looked at, as the address says it, and how the server is asked.

export const LAYERS = [
  ['box', 'b', 'box'], ['joints', 'j', 'joints'], ['mask', 'm', 'mask'],
  ['valid', 'v', 'valid area'], ['names', 'n', 'names of joints'],
];

export const state = {
  about: null,
  split: '',
  query: {},       // filters
  from: 0,         // rank of the first example of the page of many
  image: null,     // image path of the one example, null: many
  person: 0,
  other: null,     // name and command of another dataset that the address is of
  shown: null,     // what the server said of the one example
  layers: readLayers(),
};

function readLayers() {
  const layers = { box: true, joints: true, mask: true, valid: true, names: false };
  try {
    Object.assign(layers, JSON.parse(localStorage.getItem('posepile-layers') || '{}'));
  } catch { /* a browser that keeps nothing */ }
  return layers;
}

export function keepLayers() {
  try {
    localStorage.setItem('posepile-layers', JSON.stringify(state.layers));
  } catch { /* a browser that keeps nothing */ }
}

// Pictures are kept by the browser under an address that is new with each start of the server.
const token = document.querySelector('meta[name=token]').content;
const stamp = token.slice(0, 8);
export const pictureOf = (split, position, small) =>
  `/${small ? 'thumb' : 'image'}/${split}/${position}?t=${stamp}`;

export async function ask(what, parameters = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${what}?${new URLSearchParams(parameters)}`);
  } catch {
    throw new Error('the viewer was ended; start it again: posepile view …');
  }
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

export async function tell(what, value) {
  let answer;
  try {
    answer = await fetch(`/api/${what}`, {
      method: 'POST', body: JSON.stringify(value),
      headers: { 'Content-Type': 'application/json', 'X-Token': token },
    });
  } catch {
    throw new Error('the viewer was ended; start it again: posepile view …');
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

const path = text => text.split('/').map(encodeURIComponent).join('/');

// #/NAME/SPLIT/IMAGE_PATH?person=1&subject=…; without IMAGE_PATH the page of many.
export function address({ image = state.image, person = state.person, from = state.from,
  split = state.split, query = state.query } = {}) {
  const more = new URLSearchParams(query);
  if (image !== null && person) more.set('person', person);
  if (image === null && from) more.set('from', from);
  const end = image === null ? '' : `/${path(image)}`;
  const asked = more.toString();
  return `#/${path(state.about.name)}/${split}${end}${asked ? `?${asked}` : ''}`;
}

export const linkTo = (image, person) =>
  location.href.split('#')[0] + address({ image, person, query: {} });

const decoded = text => {
  try { return decodeURIComponent(text); } catch { return text; }
};

// A word of a command line.
const quoted = word =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;

// Takes over what the address says; `state.other` is of a dataset that is not this one.
export function readAddress() {
  const [place, asked = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = place.split('/').map(decoded);
  const name = parts.shift() || '';
  const split = parts.shift() || '';
  const splits = state.about.splits;
  state.query = Object.fromEntries(new URLSearchParams(asked));
  state.person = Number(state.query.person) || 0;
  state.from = Math.max(0, Math.trunc(Number(state.query.from) || 0));
  delete state.query.person;
  delete state.query.from;
  state.other = null;
  state.image = parts.length && parts.join('/') ? parts.join('/') : null;
  state.split = split in splits ? split : Object.keys(splits).find(s => splits[s]) || 'train';
  if (name && name !== state.about.name) {
    const words = ['posepile', 'view', name, ...state.image === null ? [] : [state.image]];
    state.image = null;
    state.other = { name, command: words.map(quoted).join(' ') };
  }
}

// Names from files are shown as they are, but for what would turn or hide other text.
export const plain = text => String(text).replace(
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu,
  c => `\\u{${c.codePointAt(0).toString(16)}}`);

export const grouped = n => n.toLocaleString('en');

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'class') made.className = value;
    else if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const notice = document.getElementById('notice');
let timer = 0;
export function say(text, good = false) {
  clearTimeout(timer);
  notice.hidden = !text;
  notice.textContent = plain(text);
  notice.className = good ? 'good' : '';
  if (good) timer = setTimeout(() => say(''), 3000);
}
