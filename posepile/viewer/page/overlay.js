// Box, joints, mask and valid area over a picture, in the pixels of the picture.
//
// Pixel centres are at integer coordinates, so a picture reaches from -0.5 to its width - 0.5.

import { state } from './state.js';

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
}

export const sideOf = name =>
  name.startsWith('l') ? 'left' : name.startsWith('r') ? 'right' : 'middle';

export function sideOfBone(a, b) {
  const sides = [sideOf(state.about.joints[a]), sideOf(state.about.joints[b])];
  return sides.find(side => side !== 'middle') || 'middle';
}

const outline = flat => {
  let path = '';
  for (let i = 0; i + 1 < flat.length; i += 2) path += `${i ? 'L' : 'M'}${flat[i]} ${flat[i + 1]}`;
  return `${path}Z`;
};

// Draws what is known of an example; `small` leaves out what cannot be seen at that size.
export function overlay(scene, size, small = false) {
  const [width, height] = size;
  const root = svg('svg', { viewBox: `-0.5 -0.5 ${width} ${height}`, 'aria-hidden': 'true' });
  const { layers } = state;
  if (layers.mask && scene.mask) {
    const [w, h] = scene.mask.size;
    const group = svg('g', { transform:
      `translate(-0.5 -0.5) scale(${width / w} ${height / h}) translate(0.5 0.5)` }, root);
    svg('path', { class: 'mask', d: scene.mask.outlines.map(outline).join('') }, group);
  }
  if (layers.valid && scene.valid) svg('path', { class: 'wide valid', d: outline(scene.valid) }, root);
  if (layers.box && scene.box) {
    const [x, y, w, h] = scene.box;
    svg('path', { class: 'wide box', d: `M${x} ${y}h${w}v${h}h${-w}Z` }, root);
  }
  if (layers.joints) drawJoints(root, scene, size, small);
  return root;
}

function drawJoints(root, scene, [width, height], small) {
  const at = new Map();
  const far = 4 * Math.max(width, height);
  for (const [j, x, y] of scene.joints) if (Math.abs(x) < far && Math.abs(y) < far) at.set(j, [x, y]);
  const bones = { left: '', right: '', middle: '' };
  for (const [a, b] of state.about.edges) {
    if (!at.has(a) || !at.has(b)) continue;
    bones[sideOfBone(a, b)] += `M${at.get(a).join(' ')}L${at.get(b).join(' ')}`;
  }
  for (const side of Object.keys(bones)) {
    if (bones[side]) svg('path', { class: `wide bone ${side}`, d: bones[side] }, root);
  }
  if (small) {
    const dots = { left: '', right: '', middle: '' };
    for (const [j, [x, y]] of at) dots[sideOf(state.about.joints[j])] += `M${x} ${y}h0`;
    for (const side of Object.keys(dots)) {
      if (dots[side]) svg('path', { class: `wide joint ${side}`, d: dots[side] }, root);
    }
    return;
  }
  for (const [j, [x, y]] of at) {
    const name = state.about.joints[j];
    const dot = svg('path', { class: `wide joint ${sideOf(name)}`, d: `M${x} ${y}h0` }, root);
    svg('title', {}, dot).textContent = name;
  }
  if (!state.layers.names) return;
  const letter = Math.max(width, height) / 42;
  for (const [j, [x, y]] of at) {
    svg('text', { x: x + letter / 2, y: y - letter / 3, 'font-size': letter }, root)
      .textContent = state.about.joints[j];
  }
}
