'use strict';
// The plot of one ranking: points with labels, bars for their spread, tips, and a way to go through them by keyboard.

const find = (id) => document.getElementById(id);

const make = (tag, attributes = {}, text = '') => {
  const svg = ['svg', 'g', 'path', 'line', 'text', 'circle'].includes(tag);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
};

const makePlot = (families, jump) => {
  const [canvas, tip] = [find('canvas'), find('tip')];

  // Drawn around 0 0, each of about the same area.
  const SHAPES = [
    'M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z',
    'M-4.5 -4.5h9v9h-9z',
    'M0 -6l5.6 10h-11.2z',
    'M0 -6.4l6.4 6.4l-6.4 6.4l-6.4 -6.4z',
    'M0 6l5.6 -10h-11.2z',
    'M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z',
    'M0 -6l5.7 4.1l-2.2 6.7h-7l-2.2 -6.7z',
    'M-3 -5.2h6l3 5.2l-3 5.2h-6l-3 -5.2z',
    'M-6.5 -3h13v6h-13z',
    'M0 -6.5l2 4.5h4.5l-3.5 3l1.5 5l-4.5 -3l-4.5 3l1.5 -5l-3.5 -3h4.5z',
    'M6 0l-10 5.6v-11.2z',
    'M-5.5 -5.5h11l-11 11h11z',
  ];
  const shape = (family) => SHAPES[families.indexOf(family) % SHAPES.length];
  // A further round through the shapes has other colours.
  const looks = (family) => (families.indexOf(family) + Math.floor(families.indexOf(family) / SHAPES.length)) % SHAPES.length;
  const symbol = (family) => {
    const svg = make('svg', { viewBox: '-7 -7 14 14', width: 14, height: 14, 'aria-hidden': 'true' });
    svg.append(make('path', { d: shape(family), class: `family${looks(family)}` }));
    return svg;
  };
  // The ends of an axis, with room beside the outermost values, and the round numbers between them.
  const axis = (values, count, from, to) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = (most - least) * 0.07 || Math.abs(most) * 0.1 || 1;
    const [low, high] = [least - room, most + room];
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) ticks.push({ at: i * step, text: (i * step).toFixed(digits) });
    return { ticks, place: (value) => from + ((value - low) / (high - low)) * (to - from) };
  };

  // Plots the rows of a section that are shown: x and y are { key, label } of their values.
  const draw = (section, x, y) => {
    hideTip();
    const points = section.rows
      .filter((row) => row.shown && row.values[x.key] !== undefined && row.values[y.key] !== undefined)
      .map((row) => ({ row, vx: row.values[x.key], vy: row.values[y.key], sd: row.spread[y.key] || 0 }))
      .sort((a, b) => a.vx - b.vx || b.vy - a.vy);
    const rows = section.rows.filter((row) => row.shown).length;
    find('conditions').textContent = section.title;
    find('note').textContent =
      `${points.length} of ${rows} results have both numbers.` +
      (points.some(({ sd }) => sd) ? ' Bars: one standard deviation over the seeds, up and down.' : '') +
      (points.some(({ row }) => row.reference) ? ' Hollow: references.' : '') +
      (points.length > 1 ? ' Dashed: the best for its cost. Arrow keys go from point to point.' : '');
    const seen = families.filter((family) => points.some(({ row }) => row.family === family));
    find('legend').replaceChildren(
      ...seen.map((family) => {
        const item = make('li');
        item.append(symbol(family), family);
        return item;
      }),
    );
    if (!points.length) {
      canvas.replaceChildren(make('p', { class: 'empty' }, `Nothing to plot: no result here has both ${y.label} and ${x.label}.`));
      return;
    }
    const width = Math.max(canvas.clientWidth, 240);
    const height = width < 560 ? 340 : 420;
    const box = { left: 50, right: width - 14, top: 14, bottom: height - 46 };
    const { ticks: xs, place: px } = axis(points.map((p) => p.vx), width < 560 ? 4 : 8, box.left, box.right);
    const ends = points.flatMap((p) => [p.vy - p.sd, p.vy + p.sd]);
    const { ticks: ys, place: py } = axis(ends, 6, box.bottom, box.top);

    const label = `${y.label} against ${x.label}, ${points.length} points`;
    const svg = make('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': label });
    const grid = make('g', { class: 'grid', 'aria-hidden': 'true' });
    for (const { at, text } of xs) {
      grid.append(make('line', { x1: px(at), x2: px(at), y1: box.top, y2: box.bottom }));
      grid.append(make('text', { x: px(at), y: box.bottom + 17, 'text-anchor': 'middle' }, text));
    }
    for (const { at, text } of ys) {
      grid.append(make('line', { x1: box.left, x2: box.right, y1: py(at), y2: py(at) }));
      grid.append(make('text', { x: box.left - 7, y: py(at) + 4, 'text-anchor': 'end' }, text));
    }
    const middle = (box.top + box.bottom) / 2;
    grid.append(make('text', { class: 'axis', x: (box.left + box.right) / 2, y: height - 8, 'text-anchor': 'middle' }, x.label));
    grid.append(
      make('text', { class: 'axis', transform: `translate(13 ${middle}) rotate(-90)`, 'text-anchor': 'middle' }, y.label),
    );
    svg.append(grid);

    const best = [];
    for (const point of points) if (!best.length || point.vy > best[best.length - 1].vy) best.push(point);
    if (best.length > 1) {
      const path = best.map((p, i) => `${i ? 'L' : 'M'}${px(p.vx)} ${py(p.vy)}`).join('');
      svg.append(make('path', { class: 'best', d: path, 'aria-hidden': 'true' }));
    }

    const taken = points.map((p) => {
      const up = Math.max(6, py(p.vy) - py(p.vy + p.sd));
      return { x: px(p.vx) - 6, y: py(p.vy) - up, w: 12, h: 2 * up };
    });
    const marks = points.map((point, i) => {
      const { row, vx, vy, sd } = point;
      const [cx, cy] = [px(vx), py(vy)];
      const spread = sd ? ` ± ${sd.toFixed(2)}` : '';
      const words = [row.backbone, row.name, `${y.label}: ${+vy.toFixed(2)}${spread}`, `${x.label}: ${+vx.toPrecision(4)}`];
      const mark = make('g', {
        class: `point family${looks(row.family)}${row.reference ? ' reference' : ''}`,
        transform: `translate(${cx} ${cy})`,
        tabindex: i ? -1 : 0,
        role: 'button',
        'aria-label': `${words.join(', ')}. Show in the table`,
      });
      const bar = py(vy - sd) - cy;
      if (sd) mark.append(make('path', { class: 'bar', d: `M0 ${-bar}V${bar}M-4 ${-bar}h8M-4 ${bar}h8` }));
      mark.append(make('circle', { r: 12, class: 'target' }), make('path', { d: shape(row.family) }));
      const place = freePlace(cx, cy, row.backbone, taken, box);
      if (place) mark.append(make('text', { x: place.x - cx, y: place.y - cy, 'aria-hidden': 'true' }, row.backbone));
      const show = () => showTip(words, row.family, cx, cy);
      mark.addEventListener('mouseenter', show);
      mark.addEventListener('focus', show);
      mark.addEventListener('mouseleave', hideTip);
      mark.addEventListener('blur', hideTip);
      mark.addEventListener('click', () => jump(row));
      mark.addEventListener('keydown', (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, ArrowUp: i + 1, ArrowDown: i - 1, Home: 0, End: points.length - 1 };
        if (event.key === 'Enter' || event.key === ' ') jump(row);
        else if (event.key === 'Escape') hideTip();
        else if (event.key in to) focusOn(Math.min(Math.max(to[event.key], 0), points.length - 1));
        else return;
        event.preventDefault();
      });
      return mark;
    });
    const focusOn = (i) => {
      marks.forEach((mark, j) => mark.setAttribute('tabindex', i === j ? 0 : -1));
      marks[i].focus();
    };
    svg.append(...marks);
    canvas.replaceChildren(svg);
  };

  // Beside, above or below a point, where no other point or label is; nowhere if there is no room.
  const freePlace = (cx, cy, text, taken, box) => {
    const [w, h] = [text.length * 6.6 + 4, 14];
    const places = [[8, 0], [9, -7], [8, -15], [-8 - w, -15], [-9 - w, -7], [-8 - w, 0], [-w / 2, -24], [-w / 2, 9]];
    for (const [dx, dy] of places) {
      const spot = { x: cx + dx, y: cy + dy, w, h };
      const inside = spot.x > box.left && spot.x + w < box.right && spot.y > box.top && spot.y + h < box.bottom;
      if (inside && taken.every((b) => spot.x > b.x + b.w || b.x > spot.x + w || spot.y > b.y + b.h || b.y > spot.y + h)) {
        taken.push(spot);
        return { x: spot.x + 2, y: spot.y + 11 };
      }
    }
    return null;
  };

  const showTip = ([name, ...lines], family, cx, cy) => {
    tip.replaceChildren(make('strong', {}, name), make('span', {}, family), ...lines.map((line) => make('span', {}, line)));
    tip.hidden = false;
    const left = Math.min(Math.max(cx - tip.offsetWidth / 2, 0), canvas.clientWidth - tip.offsetWidth);
    const above = cy - tip.offsetHeight - 14;
    tip.style.left = `${canvas.offsetLeft + Math.max(left, 0)}px`;
    tip.style.top = `${canvas.offsetTop + (above > 0 ? above : cy + 16)}px`;
  };
  const hideTip = () => {
    tip.hidden = true;
  };

  return { symbol, draw };
};

