// The pose and the cameras of an instant in space, drawn on a canvas that can be turned.

import { state } from './state.js';
import { sideOf, sideOfBone } from './overlay.js';

const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) =>
  [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const along = (a, d, t) => [a[0] + d[0] * t, a[1] + d[1] * t, a[2] + d[2] * t];
const unit = a => { const n = Math.hypot(...a) || 1; return a.map(v => v / n); };

export class Space {
  constructor(canvas) {
    this.canvas = canvas;
    this.shown = null;
    this.others = [];
    this.turn = null;      // kept from example to example, so that they can be compared
    this.fit = 'person';
    this.zoom = 1;
    let from = null;
    const fingers = new Map();
    const apart = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
    };
    canvas.addEventListener('pointerdown', event => {
      from = [event.clientX, event.clientY];
      fingers.set(event.pointerId, from);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', event => {
      if (!from || !fingers.has(event.pointerId)) return;
      const before = fingers.size === 2 ? apart() : 0;
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (before) {
        this.zoomBy(apart() / before);
        return;
      }
      this.yaw -= (event.clientX - from[0]) / 150;
      this.pitch = Math.max(-1.55, Math.min(1.55, this.pitch + (event.clientY - from[1]) / 150));
      from = [event.clientX, event.clientY];
      this.own = false;
      this.draw();
    });
    for (const end of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(end, event => {
        fingers.delete(event.pointerId);
        // The finger that stays goes on from where it is.
        from = fingers.size ? [...fingers.values()][0] : null;
      });
    }
    canvas.addEventListener('wheel', event => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 500));
    }, { passive: false });
    this.yaw = 0.6;
    this.pitch = 0.25;
    this.own = false;      // whether seen as by the example's own camera
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  zoomBy(times) {
    this.zoom = Math.max(0.05, Math.min(40, this.zoom * times));
    this.own = false;
    this.draw();
  }

  show(shown, others) {
    this.shown = shown;
    this.others = others;
    this.draw();
  }

  view(fit) {
    this.own = fit === 'own';
    if (!this.own) this.fit = fit;
    this.zoom = 1;
    this.draw();
  }

  // Up, and two directions across it, which stay the same for all examples of a dataset.
  axes() {
    const up = unit(this.shown.camera?.up || state.about.up || [0, -1, 0]);
    const other = Math.abs(up[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0];
    const right = unit(cross(other, up));
    return { up, right, ahead: cross(up, right) };
  }

  // What is in the middle, and how far what is to be seen reaches from there.
  extent() {
    const points = this.shown.pose.map(joint => joint.slice(1));
    const places = this.cameras().map(camera => camera.position);
    const mean = some => [0, 1, 2].map(k => some.reduce((sum, p) => sum + p[k], 0) / some.length);
    const all = points.length ? points : places;
    const middle = all.length ? mean(all) : [0, 0, 0];
    const reach = some => Math.max(1, ...some.map(p => Math.hypot(...minus(p, middle))));
    const body = points.length ? reach(points) : 1000;
    const wide = this.fit === 'cameras' && places.length ? Math.max(body, reach(places)) : body;
    return { middle, radius: wide, body };
  }

  cameras() {
    const own = this.shown.camera ? [{ ...this.shown.camera, own: true, label: this.shown.facts.view,
      size: this.shown.size }] : [];
    const rest = this.others.filter(item => item.camera)
      .map(item => ({ ...item.camera, label: item.view, size: item.size }));
    return [...own, ...rest];
  }

  draw() {
    const { canvas, shown } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!shown || !width) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const color = name => style.getPropertyValue(name).trim();
    const { up, right, ahead } = this.axes();
    const { middle, radius, body } = this.extent();
    this.project = this.own && shown.camera
      ? this.asCamera(width, height) : this.asOrbit(width, height, { up, right, ahead, middle, radius });
    const line = (a, b, look, thick = 1) => {
      const [p, q] = [this.project(a), this.project(b)];
      if (!p || !q) return;
      pen.strokeStyle = look;
      pen.lineWidth = thick;
      pen.beginPath();
      pen.moveTo(p[0], p[1]);
      pen.lineTo(q[0], q[1]);
      pen.stroke();
    };
    const write = (text, place, look) => {
      const p = this.project(place);
      if (!p) return;
      pen.fillStyle = look;
      pen.font = '12px system-ui';
      pen.fillText(text, p[0] + 5, p[1] - 5);
    };
    this.ground(line, write, color, { up, right, ahead, middle, radius, body });
    for (const camera of this.cameras()) {
      this.frustum(camera, line, write, color, Math.max(0.35 * body, 0.09 * radius));
    }
    const seen = new Set();
    for (const item of this.others) {
      const key = JSON.stringify(item.pose.slice(0, 3));
      if (seen.has(key) || sameJoints(item.pose, shown.pose)) continue;
      seen.add(key);
      this.pose(item.pose, line, () => color('--faint'), 1);
    }
    this.pose(shown.pose, line, side => color(`--${side}`), 2.5, pen);
  }

  pose(joints, line, look, thick, pen = null) {
    const at = new Map(joints.map(([j, ...place]) => [j, place]));
    const bones = state.about.edges.filter(([a, b]) => at.has(a) && at.has(b));
    for (const [a, b] of bones) line(at.get(a), at.get(b), look(sideOfBone(a, b)), thick);
    if (!pen) return;
    for (const [j, place] of at) {
      const p = this.project(place);
      if (!p) continue;
      pen.fillStyle = look(sideOf(state.about.joints[j]));
      pen.beginPath();
      pen.arc(p[0], p[1], 3, 0, 7);
      pen.fill();
    }
  }

  // A grid of metres below the lowest joint, and where up is.
  ground(line, write, color, { up, right, ahead, middle, radius, body }) {
    const heights = this.shown.pose.map(joint => dot(minus(joint.slice(1), middle), up));
    const low = heights.length ? Math.min(...heights) : -body;
    const step = 10 ** Math.ceil(Math.log10(radius / 6));
    const n = Math.min(12, Math.ceil(1.2 * radius / step));
    const corner = along(middle, up, low);
    for (let i = -n; i <= n; i++) {
      const [a, b] = [along(corner, right, i * step), along(corner, ahead, i * step)];
      line(along(a, ahead, -n * step), along(a, ahead, n * step), color('--line'));
      line(along(b, right, -n * step), along(b, right, n * step), color('--line'));
    }
    const foot = along(along(corner, right, -n * step), ahead, -n * step);
    const tip = along(foot, up, 2 * step);
    line(foot, tip, color('--accent'), 2);
    write('up', tip, color('--accent'));
    // Where it can be read: the grid may reach out of the picture on all sides.
    const places = [];
    for (let i = n; i > 0; i--) for (const [a, s] of [[right, i], [right, -i], [ahead, i], [ahead, -i]]) {
      places.push(along(corner, a, s * step));
    }
    const place = places.find(spot => {
      const p = this.project(spot);
      return p && p[0] > 0 && p[0] < this.canvas.clientWidth - 100
        && p[1] > 20 && p[1] < this.canvas.clientHeight;
    });
    const size = step >= 1000 ? `${step / 1000} m` : `${step / 10} cm`;
    if (place) write(`squares of ${size}`, place, color('--faint'));
  }

  frustum(camera, line, write, color, depth) {
    const { rotation: r, intrinsics: k, position } = camera;
    const [w, h] = camera.size || [2 * k[2], 2 * k[5]];
    // A long lens sees little: its frustum is drawn longer, so that it can be seen.
    const wide = Math.min(1, Math.max(w / k[0], h / k[4]));
    const corners = [[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]]
      .map(([u, v]) => {
        const y = (v - k[5]) / k[4];
        const ray = [(u - k[2] - k[1] * y) / k[0], y, 1].map(value => value * depth / wide);
        // Rotations are world to camera: their columns lead back.
        return [0, 1, 2].map(i => position[i] + r[i] * ray[0] + r[3 + i] * ray[1] + r[6 + i] * ray[2]);
      });
    const look = color(camera.own ? '--accent' : '--faint');
    if (this.own && camera.own) return;
    corners.forEach((place, i) => {
      line(position, place, look, camera.own ? 1.5 : 1);
      line(place, corners[(i + 1) % 4], look, i === 0 ? 3 : camera.own ? 1.5 : 1);
    });
    if (camera.label) write(camera.label, position, look);
  }

  asOrbit(width, height, { up, right, ahead, middle, radius }) {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch),
      Math.sin(this.pitch)];
    const flat = [0, 1, 2].map(i => right[i] * cy + ahead[i] * sy);
    const back = [0, 1, 2].map(i => flat[i] * cp + up[i] * sp);
    const across = unit(cross(up, flat));
    const over = cross(back, across);
    const size = 0.46 * Math.min(width, height) * this.zoom / radius;
    const distance = 6 * radius;
    return point => {
      const d = minus(point, middle);
      const depth = distance - dot(d, back);
      if (depth < 0.02 * distance) return null;
      const s = size * distance / depth;
      return [width / 2 + dot(d, across) * s, height / 2 - dot(d, over) * s];
    };
  }

  asCamera(width, height) {
    const { rotation: r, intrinsics: k, position } = this.shown.camera;
    const [w, h] = this.shown.size || [2 * k[2], 2 * k[5]];
    const s = Math.min(width / w, height / h);
    return point => {
      const d = minus(point, position);
      const [x, y, z] = [0, 3, 6].map(i => r[i] * d[0] + r[i + 1] * d[1] + r[i + 2] * d[2]);
      if (z <= 1) return null;
      const u = (k[0] * x + k[1] * y) / z + k[2];
      const v = k[4] * y / z + k[5];
      return [width / 2 + (u + 0.5 - w / 2) * s, height / 2 + (v + 0.5 - h / 2) * s];
    };
  }
}

function sameJoints(a, b) {
  if (a.length !== b.length || !a.length) return !a.length;
  return a.every((joint, i) => joint[0] === b[i][0]
    && Math.hypot(...minus(joint.slice(1), b[i].slice(1))) < 30);
}
