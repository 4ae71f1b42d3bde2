// Two or three results side by side, with their differences from the first one.

const makeComparison = (rows, choose) => {
  const MOST = 3;
  const [panel, bar, note] = [find('compare'), find('bar'), find('compare-note')];
  const [head, body] = [panel.querySelector('thead'), panel.querySelector('tbody')];
  const buttons = new Map();
  let picked = [];

  const toggle = (row) => {
    const others = picked.filter((other) => other !== row);
    // A fourth one takes the place of the last.
    choose([...others.slice(0, MOST - 1), ...(others.length < picked.length ? [] : [row])].map(({ key }) => key));
  };
  for (const row of rows) {
    const button = make('button', { type: 'button', class: 'pick', 'aria-pressed': 'false' }, 'compare');
    button.setAttribute('aria-label', `Compare ${row.backbone}, ${row.name}`);
    button.addEventListener('click', () => toggle(row));
    row.element.querySelector('.links').append(button);
    buttons.set(row, button);
  }

  // What is compared: the key, the label, and whether a high or a low value is best.
  const quantities = () => {
    const metrics = [...new Set(picked.flatMap(({ section }) => section.metrics))];
    const axes = new Map(picked.flatMap(({ section }) => section.axes).map(({ key, label }) => [key, label]));
    if (!axes.size) axes.set('parameters', 'Parameters (M)');
    return [
      ...metrics.map((key) => ({ key, label: `${key} (%)`, best: 'high' })),
      ...[...axes].map(([key, label]) => ({ key, label, best: 'low' })),
    ].filter(({ key }) => picked.some(({ values }) => values[key] !== undefined));
  };

  const written = (value, best) => (best === 'high' ? `${+value.toFixed(2)}` : `${+value.toPrecision(4)}`);

  const cells = ({ key, best }, comparable) => {
    const values = picked.map((row) => row.values[key]);
    const known = values.filter((value) => value !== undefined);
    const leader = best === 'high' ? Math.max(...known) : Math.min(...known);
    return values.map((value, i) => {
      const cell = make('td');
      if (value === undefined) return cell;
      const spread = picked[i].spread[key];
      const show = comparable && known.length > 1;
      cell.append(make('span', show && value === leader ? { class: 'winner' } : {}, written(value, best)));
      if (spread) cell.append(` ± ${spread.toFixed(2)}`);
      if (i && show && values[0] !== undefined) {
        const change = best === 'high' ? value - values[0] : 100 * (value / values[0] - 1);
        const amount = +Math.abs(change).toFixed(best === 'high' ? 2 : 0);
        const text = amount ? `${change < 0 ? '−' : '+'}${amount}${best === 'high' ? '' : ' %'}` : 'equal';
        cell.append(make('br'), make('small', { class: 'change' }, text));
      }
      return cell;
    });
  };

  const line = (label, content) => {
    const row = make('tr');
    row.append(make('th', { scope: 'row' }, label), ...content);
    return row;
  };

  const draw = () => {
    const same = new Set(picked.map(({ section }) => section)).size === 1;
    const sizes = new Set(picked.map(({ size }) => size)).size === 1;
    note.textContent = same
      ? 'Results of one ranking. Differences are from the first one; the best of each line is bold.'
      : 'These are results of different rankings: their metrics do not compare, so no differences of metrics are shown.';
    const top = make('tr');
    top.append(make('th', { scope: 'col' }));
    for (const row of picked) {
      const cell = make('th', { scope: 'col' });
      const remove = make('button', { type: 'button', class: 'pick', 'aria-label': `Remove ${row.backbone}` }, 'remove');
      remove.addEventListener('click', () => toggle(row));
      cell.append(make('strong', {}, row.backbone), make('small', {}, row.name), remove);
      top.append(cell);
    }
    head.replaceChildren(top);
    const texts = {
      Ranking: ({ section }) => section.title || section.element.querySelector('h2').textContent,
      Family: ({ family }) => family,
      Rank: ({ values }) => values.rank || '',
      Source: ({ source }) => source,
    };
    const said = (label) => line(label, picked.map((row) => make('td', {}, `${texts[label](row)}`)));
    body.replaceChildren(
      ...(same ? [] : [said('Ranking')]),
      said('Family'),
      ...(same && picked[0].section.metric ? [said('Rank')] : []),
      ...quantities().map((quantity) => {
        const comparable = quantity.best === 'high' ? same : quantity.key !== 'macs' || sizes;
        return line(quantity.label, cells(quantity, comparable));
      }),
      said('Source'),
    );
  };

  const show = (wanted) => {
    picked = wanted.map((key) => rows.find((row) => row.key === key)).filter(Boolean);
    picked = [...new Set(picked)].slice(0, MOST);
    for (const [row, button] of buttons) button.setAttribute('aria-pressed', `${picked.includes(row)}`);
    bar.hidden = !picked.length;
    bar.querySelector('span').textContent =
      picked.length < 2 ? `${picked.map(({ backbone }) => backbone)}: pick another one to compare` : picked.map(({ backbone }) => backbone).join(', ');
    find('show').hidden = picked.length < 2;
    panel.hidden = picked.length < 2;
    if (picked.length > 1) draw();
  };

  find('show').addEventListener('click', () => {
    panel.scrollIntoView({ block: 'start' });
    panel.focus({ preventScroll: true });
  });
  find('clear').addEventListener('click', () => choose([]));
  return { show };
};

