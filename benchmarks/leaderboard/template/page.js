// Sorts and filters what the page holds, and picks what is plotted. Text goes into it as text only.
(() => {
  if (!find('controls')) return;
  const { sections, families } = JSON.parse(find('data').textContent);
  const filters = [...document.querySelectorAll('[data-filter]')];
  const search = find('search');
  const pickers = { plot: find('plot'), x: find('x'), y: find('y') };
  // What the address keeps: filters, 'search', 'sort' ('-key' is downwards), 'plot', 'x', 'y', 'compare'.
  let state = {};

  for (const section of sections) {
    section.element = find(section.id);
    section.body = section.element.querySelector('tbody');
    section.heads = [...section.element.querySelectorAll('thead th')];
    const words = section.element.querySelector('h2').textContent;
    section.rows.forEach((row, i) => {
      row.section = section;
      row.element = section.body.rows[i];
      row.cells = [...row.element.cells];
      row.key = `${section.id}/${row.name}/${section.rows.slice(0, i).filter(({ name }) => name === row.name).length}`;
      row.words = `${words} ${row.name} ${row.backbone} ${row.family} ${row.state} ${row.source} ${row.reference ? 'reference' : ''}`.toLowerCase();
    });
  }

  // The row of a point comes into sight, with its link in focus.
  const jump = (row) => {
    const link = row.element.querySelector('th a');
    for (const old of document.querySelectorAll('tr.found')) old.classList.remove('found');
    row.element.classList.add('found');
    link.focus({ preventScroll: true });
    row.element.scrollIntoView({ block: 'center' });
  };

  const everything = sections.flatMap(({ rows }) => rows);
  const plot = makePlot(families, jump);
  for (const row of everything) row.element.querySelector('th').prepend(plot.symbol(row.family));
  const comparison = makeComparison(everything, (keys) => set('compare', keys.join()));

  // --- the address ---

  const readAddress = () => {
    state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    for (const select of filters) {
      select.value = state[select.dataset.filter] || '';
      if (select.selectedIndex < 0) select.value = '';
    }
    search.value = state.search || '';
    comparison.show((state.compare || '').split(','));
    update();
  };

  const writeAddress = () => {
    const kept = Object.entries(state).filter(([, value]) => value);
    const address = kept.length ? `#${new URLSearchParams(kept)}` : location.pathname + location.search;
    try {
      history.replaceState(null, '', address);
    } catch {
      // Some browsers allow too few changes in a while; the next one is written again.
    }
  };

  const set = (key, value) => {
    state[key] = value;
    writeAddress();
    if (key === 'compare') comparison.show(value.split(','));
    else update();
  };

  // --- filters and sorting ---

  const update = () => {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let results = 0;
    let rankings = 0;
    let waiting = 0;
    for (const section of sections) {
      let shown = 0;
      for (const row of section.rows) {
        const fits = filters.every((select) => !select.value || row[select.dataset.filter] === select.value);
        row.shown = fits && terms.every((term) => row.words.includes(term));
        row.element.hidden = !row.shown;
        shown += row.shown;
      }
      section.shown = shown > 0;
      hideEmpty(section);
      section.element.hidden = !shown;
      if (section.metric) {
        results += shown;
        rankings += section.shown;
      } else {
        waiting += shown;
      }
      sort(section);
    }
    const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;
    const more = waiting ? `; ${plural(waiting, 'config')} without a result` : '';
    find('status').textContent = `${plural(results, 'result')} in ${plural(rankings, 'ranking')}${more}`;
    find('none').hidden = results + waiting > 0;
    find('figure').hidden = !rankings;
    if (rankings) updatePlot();
  };

  // A column is there if a row that is shown has something in it.
  const hideEmpty = ({ heads, rows }) => {
    heads.forEach((th, i) => {
      const empty = th.dataset.key !== 'rank' && !rows.some((row) => row.shown && row.cells[i].textContent.trim());
      if (th.hidden === empty) return;
      th.hidden = empty;
      for (const row of rows) row.cells[i].hidden = empty;
    });
  };

  const valueOf = (row, key) => (key in row.values ? row.values[key] : row[key]) ?? null;

  const sort = (section) => {
    const key = (state.sort || '').replace(/^-/, '');
    const down = (state.sort || '').startsWith('-') ? -1 : 1;
    const head = section.heads.find((th) => th.dataset.key === key);
    for (const th of section.heads) th.removeAttribute('aria-sort');
    const rows = [...section.rows];
    if (head) {
      head.setAttribute('aria-sort', down < 0 ? 'descending' : 'ascending');
      // What has no value is last, either way; equals stay in their order.
      rows.sort((a, b) => {
        const [p, q] = [valueOf(a, key), valueOf(b, key)];
        if (p === null || q === null) return (p === null) - (q === null);
        return down * (typeof p === 'number' ? p - q : p.localeCompare(q, 'en', { numeric: true }));
      });
    }
    section.body.append(...rows.map((row) => row.element));
  };

  for (const section of sections) {
    for (const th of section.heads) {
      const button = make('button', { type: 'button' });
      button.append(...th.childNodes);
      button.lastElementChild.append(make('span', { class: 'arrow', 'aria-hidden': 'true' }));
      th.append(button);
      button.addEventListener('click', () => {
        const { key, best } = th.dataset;
        const first = best === 'high' ? `-${key}` : key;
        const second = best === 'high' ? key : `-${key}`;
        set('sort', state.sort === first ? second : first);
      });
    }
  }
  for (const select of filters) select.addEventListener('change', () => set(select.dataset.filter, select.value));
  search.addEventListener('input', () => set('search', search.value.trim()));
  find('controls').addEventListener('submit', (event) => event.preventDefault());
  find('controls').addEventListener('reset', (event) => {
    event.preventDefault();
    state = {};
    writeAddress();
    readAddress();
  });
  find('skip').addEventListener('click', (event) => {
    event.preventDefault(); // the address is ours
    find('rankings').focus();
  });

  // A shade where a table goes on behind its edge.
  const shade = ({ element }) => {
    const box = element.querySelector('.scroll');
    box.classList.toggle('more', box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  };
  const widths = new ResizeObserver(() => sections.forEach(shade));
  for (const section of sections) {
    const box = section.element.querySelector('.scroll');
    box.addEventListener('scroll', () => shade(section), { passive: true });
    widths.observe(box);
  }

  // --- what is plotted: one ranking at a time ---

  const fill = (select, options, wanted) => {
    const old = [...select.options].map((option) => option.value + option.disabled).join();
    if (old !== options.map(({ key, disabled }) => key + Boolean(disabled)).join()) {
      select.replaceChildren(
        ...options.map(({ key, label, disabled }) => {
          const option = make('option', { value: key }, label);
          option.disabled = Boolean(disabled);
          return option;
        }),
      );
    }
    const usable = options.filter((option) => !option.disabled);
    const quantity = (key) => key.split(' (')[0];
    const found =
      usable.find(({ key }) => key === wanted) ||
      usable.find(({ key }) => wanted && quantity(key) === quantity(wanted)) ||
      usable[0];
    select.value = found ? found.key : '';
    return found;
  };

  let drawn = null;
  const updatePlot = () => {
    const open = sections.filter((section) => section.metric && section.shown);
    const count = ({ rows }) => rows.filter((row) => row.shown).length;
    const most = open.reduce((best, section) => (count(section) > count(best) ? section : best));
    const options = open.map(({ id, title }) => ({ key: id, label: title }));
    const picked = fill(pickers.plot, options, open.some(({ id }) => id === state.plot) ? state.plot : most.id);
    const section = open.find(({ id }) => id === picked.key);
    // Its table follows the plot, before the others.
    if (find('rankings').firstElementChild !== section.element) {
      find('rankings').append(...sections.map(({ element }) => element));
      find('rankings').prepend(section.element);
    }
    const y = fill(pickers.y, section.metrics.map((name) => ({ key: name, label: `${name} (%)` })), state.y);
    const measured = section.axes.some(({ key }) => key.includes('latency'));
    const none = measured ? [] : [{ key: '-', label: 'Backbone latency: not measured for these', disabled: true }];
    const x = fill(pickers.x, [...section.axes, ...none], state.x || 'macs');
    drawn = [section, x, y];
    plot.draw(...drawn);
  };

  for (const [key, select] of Object.entries(pickers)) select.addEventListener('change', () => set(key, select.value));

  find('controls').hidden = false;
  find('plain').hidden = true;
  readAddress();
  window.addEventListener('hashchange', readAddress);
  new ResizeObserver(() => drawn && !find('figure').hidden && plot.draw(...drawn)).observe(find('figure'));
})();
