"""The page in a real browser, without a screen."""

import csv
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from benchmarks.leaderboard.command import write
from tests.benchmarks.leaderboard.cases import EVIL
from tests.conftest import ROOT

FIRST = '#mask-r-cnn-coco-1x-reported-single-single-800-1280'
THREE = FIRST.replace('-1x-', '-3x-')
DIGITS = '#mask-r-cnn-digitscenes-4-epochs-trained-here-single-single-192-192'
# Names of FIRST as it is ranked: by box AP.
RANKED = ['cyclemlp_b2-m', 'hiremlp_small-m', 'cyclemlp_b2-m', 'cyclemlp_b1-m', 'hiremlp_base-m']

pytestmark = pytest.mark.browser


def names(page: Page, section: str = FIRST) -> list[str]:
    return page.locator(f'{section} tbody tr:visible .config').all_inner_texts()


def visible_names(page: Page) -> set[str]:
    return set(page.locator('tbody tr:visible .config').all_inner_texts())


def head(page: Page, label: str, section: str = FIRST):
    return page.locator(f'{section} thead th:has(span:text-is("{label}"))')


def test_sorting(visit):
    page = visit()
    assert names(page) == RANKED
    assert page.locator(f'{FIRST} tbody tr td:first-child').all_inner_texts() == ['1', '2', '', '3', '']
    head(page, 'mask AP').get_by_role('button').click()
    by_mask = ['hiremlp_base-m', 'hiremlp_small-m', 'cyclemlp_b2-m', 'cyclemlp_b1-m', 'cyclemlp_b2-m']
    assert names(page) == by_mask
    expect(head(page, 'mask AP')).to_have_attribute('aria-sort', 'descending')
    head(page, 'mask AP').get_by_role('button').click()
    # What has no value is last, either way.
    assert names(page) == [*reversed(by_mask[:4]), by_mask[4]]
    expect(head(page, 'mask AP')).to_have_attribute('aria-sort', 'ascending')
    head(page, 'Parameters').get_by_role('button').click()
    assert names(page)[0] == 'cyclemlp_b1-m' and names(page)[-1] == 'hiremlp_base-m'
    assert page.locator(f'{FIRST} [aria-sort]').count() == 1
    head(page, 'Config').get_by_role('button').click()
    assert names(page) == sorted(names(page))
    head(page, 'Rank').get_by_role('button').click()
    assert names(page)[:3] == ['cyclemlp_b2-m', 'hiremlp_small-m', 'cyclemlp_b1-m']


@pytest.mark.parametrize(
    ('label', 'option', 'found'),
    [
        ('Data set', 'ADE20K', {'asmlp_tiny-u', 'asmlp_base-u'}),
        ('Head', 'UperNet', {'asmlp_tiny-u', 'asmlp_base-u'}),
        ('Schedule', '3x', {'hiremlp_small-3x', 'mask-rcnn_r50-3x'}),
        ('State', 'trained here', {'mask-rcnn_cyclemlp-slim_digits', 'mask-rcnn_hiremlp-slim_digits'}),
        ('State', 'no published result', {'hiremlp_tiny-m'}),
        ('Family', 'AS-MLP', {'asmlp_tiny-u', 'asmlp_base-u'}),
        ('Family', 'ResNet', {'mask-rcnn_r50-3x'}),
        ('Parameters', 'above 100 M', {'asmlp_base-u'}),
        ('Parameters', '25 to 50 M', {'cyclemlp_b1-m', 'cyclemlp_b2-m', 'hiremlp_tiny-m', 'mask-rcnn_r50-3x'}),
    ],
)
def test_filters(visit, label, option, found):
    page = visit()
    everything = visible_names(page)
    page.get_by_label(label, exact=True).select_option(option)
    assert visible_names(page) == found < everything
    # Headings of rankings go with their rows, and ranks stay.
    assert page.locator('section:visible').count() == page.locator('section:visible:has(tbody tr:visible)').count()
    # A plot is there unless there is nothing to plot.
    assert page.locator('#figure').is_visible() == (option != 'no published result')
    page.get_by_role('button', name='Reset').click()
    assert visible_names(page) == everything and '#' not in page.url


def test_filters_together_and_search(visit):
    page = visit()
    status = page.get_by_role('status')
    expect(status).to_have_text('12 results in 5 rankings; 1 config without a result')
    page.get_by_label('Family').select_option('Hire-MLP')
    page.get_by_label('Schedule').select_option('1x')
    expect(status).to_have_text('2 results in 1 ranking; 1 config without a result')
    search = page.get_by_label('Search')
    search.fill('SMALL  coco')
    expect(status).to_have_text('1 result in 1 ranking')
    assert names(page) == ['hiremlp_small-m']
    # The plot follows.
    assert page.locator('.point text').all_text_contents() == ['hiremlp_small']
    assert page.locator('#plot option').count() == 1
    search.fill('svip-lab')
    expect(page.get_by_text('No result fits these filters.')).to_be_visible()
    page.get_by_label('Family').select_option('All')
    assert names(page) == ['cyclemlp_b2-m']


def test_the_address_keeps_what_was_chosen(visit, address):
    page = visit()
    page.get_by_label('Data set').select_option('COCO')
    page.get_by_label('Search').fill('hiremlp')
    head(page, 'mask AP').get_by_role('button').click()
    page.get_by_label('Against', exact=True).select_option('parameters')
    kept = page.url.partition('#')[2]
    other = visit(f'#{kept}')
    assert names(other) == names(page) == ['hiremlp_base-m', 'hiremlp_small-m']
    assert other.get_by_label('Search').input_value() == 'hiremlp'
    expect(other.get_by_label('Against', exact=True)).to_have_value('parameters')
    # Back and forth, and what somebody made up.
    other.goto(f'{address}#family=CycleMLP')
    expect(other.get_by_label('Search')).to_have_value('')
    assert set(names(other)) == {'cyclemlp_b1-m', 'cyclemlp_b2-m'}
    odd = visit(f'#dataset={quote(EVIL)}&sort=-__proto__&plot=x&x={quote(EVIL)}&y=&__proto__=1')
    assert names(odd) == RANKED


def test_the_plot(visit):
    page = visit()
    points = page.get_by_role('button', name='Show in the table')
    # The one without box AP is not there; every point has a label.
    assert points.count() == 4 and page.locator('#note').inner_text().startswith('4 of 5 results have both numbers.')
    assert page.locator('.point text').all_text_contents() == [
        'cyclemlp_b1',
        'hiremlp_small',
        'cyclemlp_b2',
        'cyclemlp_b2',
    ]
    assert page.locator('#legend li').all_inner_texts() == ['CycleMLP', 'Hire-MLP']

    def places():
        return [
            (box['x'] + box['width'] / 2, box['y'])
            for box in (p.locator('.target').bounding_box() for p in points.all())
        ]

    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = places()
    # 200, 240, 250, 250 G; 40.0, 42.0, 42.1, 41.7 of box AP.
    assert (x2 - x1) / (x3 - x1) == pytest.approx(0.8, abs=0.01) and x3 == pytest.approx(x4, abs=0.5)
    assert (y1 - y2) / (y1 - y3) == pytest.approx(2 / 2.1, abs=0.01) and y3 < y4 < y1
    page.get_by_label('Accuracy').select_option('mask AP')
    assert points.count() == 4 and 'mask AP (%): 41' in points.last.get_attribute('aria-label')
    page.get_by_label('Against', exact=True).select_option('parameters')
    assert 'Parameters (M): 100' in points.last.get_attribute('aria-label')
    page.get_by_label('Against', exact=True).select_option(label='Backbone latency (ms, Some CPU, 2 threads, 800x1216)')
    assert points.count() == 2 and 'cyclemlp_b1, cyclemlp_b1-m' in points.first.get_attribute('aria-label')
    # Every ranking is a plot of its own.
    for option in page.locator('#plot option').evaluate_all('options => options.map(({ value }) => value)'):
        page.locator('#plot').select_option(option)
        assert points.count() <= len(names(page, f'#{option}'))
        expect(page.locator('#conditions')).to_have_text(page.locator('#plot option:checked').inner_text())
    # Where none was measured the plot says so.
    page.locator('#plot').select_option(DIGITS[1:])
    assert page.locator('#x option:disabled').inner_text() == 'Backbone latency: not measured for these'
    assert page.locator('.bar').count() == 1


def test_hovering_over_the_plot(visit):
    page = visit(f'#plot={DIGITS[1:]}')
    tip = page.get_by_role('tooltip')
    assert tip.is_hidden()
    spread = page.get_by_role('button', name='± 0.40')
    spread.locator('.target').hover()
    expect(tip).to_be_visible()
    lines = ['mask-rcnn_cyclemlp-slim_digits', 'CycleMLP', 'mask-rcnn_cyclemlp-slim_digits', 'box AP (%): 71.25 ± 0.40']
    assert tip.inner_text().split('\n') == [*lines, 'MACs (G, 192x192): 3.03']
    box, width = tip.bounding_box(), page.viewport_size['width']
    assert box['x'] >= 0 and box['x'] + box['width'] <= width
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    spread.locator('.target').click()
    row = page.locator('tr.found')
    expect(row).to_be_in_viewport()
    assert '71.25 ± 0.40' in row.inner_text()


def test_planted_scripts_do_not_run_and_are_shown(visit):
    page = visit(f'#search=b2&plot={FIRST[1:]}')
    page.get_by_role('button', name='Reset').click()
    assert EVIL in page.locator(f'{FIRST} .source', has_text='planted').inner_text()
    page.locator(f'{DIGITS} summary', has_text='seeds 0, 1').click()
    assert page.locator(f'{DIGITS} dd', has_text='planted').inner_text() == EVIL
    assert page.locator('b, img').count() == 0 and page.locator('script').count() == 2


def test_what_got_in_could_neither_run_nor_load(browser, address):
    page = browser.new_page()
    page.goto(address)
    refused = page.evaluate(
        """async () => {
            const refused = [];
            document.addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = 'window.ran = 1';
            document.body.append(script);
            await fetch('https://example.org').catch(() => {});
            for (let i = 0; i < 100 && refused.length < 2; i += 1) await new Promise((done) => setTimeout(done, 50));
            return window.ran ? ['ran'] : refused;
        }"""
    )
    page.close()
    assert refused == ['script-src-elem', 'connect-src']


def test_links(visit, address):
    page = visit()
    row = page.locator(f'{FIRST} tr', has_text='hiremlp_base-m')
    assert row.get_by_role('link', name='hiremlp_base').get_attribute('href') == '../../configs/hiremlp_base-m.py'
    assert row.get_by_role('link', name='https').get_attribute('href') == 'https://example.org/a?b=1'
    places = page.locator(f'{FIRST} .source a').evaluate_all('links => links.map(({ href }) => href)')
    assert {'https://arxiv.org/abs/2107.10224v1', 'https://github.com/svip-lab/Other'} < set(places)
    own = page.locator(f'{DIGITS} dd a').first.get_attribute('href')
    assert own.startswith('../../benchmarks/leaderboard/results/')


def test_the_ranking_with_most_results_comes_first(visit):
    page = visit()
    first = page.locator('#rankings > section').first
    expect(first).to_have_attribute('id', FIRST[1:])
    expect(page.locator('#plot')).to_have_value(FIRST[1:])
    # The table of another one that is chosen follows its plot, and the filters choose among what they leave.
    page.locator('#plot').select_option(DIGITS[1:])
    expect(first).to_have_attribute('id', DIGITS[1:])
    page.get_by_label('Schedule').select_option('3x')
    expect(page.locator('#plot')).to_have_value(THREE[1:])
    page.get_by_role('button', name='Reset').click()
    expect(first).to_have_attribute('id', FIRST[1:])


def test_heads_and_names_stay_and_empty_columns_go(visit):
    page = visit(viewport={'width': 700, 'height': 300})
    box = page.locator(f'{FIRST} .scroll')
    label, name = head(page, 'mask AP'), page.locator(f'{FIRST} tbody th').last
    before = box.bounding_box(), head(page, 'Config').bounding_box()
    box.evaluate('box => box.scrollBy(100, 150)')
    assert box.evaluate('box => [box.scrollLeft, box.scrollTop]') == [100, 150]
    assert label.bounding_box()['y'] <= before[1]['y'] + 2 < label.bounding_box()['y'] + label.bounding_box()['height']
    assert name.bounding_box()['x'] == pytest.approx(before[1]['x'], abs=1)
    # The one result without box AP, which was not timed.
    latency = page.locator(f'{FIRST} thead th', has_text='Backbone latency')
    assert head(page, 'box AP').is_visible() and latency.is_visible()
    page.get_by_label('Search').fill('hiremlp_base-m')
    assert names(page) == ['hiremlp_base-m'] and head(page, 'box AP').is_hidden() and latency.is_hidden()
    cells, heads = (page.locator(f'{FIRST} {part}:visible').count() for part in ('tbody tr:visible td', 'thead th'))
    assert cells == heads - 1
    page.get_by_label('Search').fill('')
    assert head(page, 'box AP').is_visible() and latency.is_visible()


def test_side_by_side(visit):
    page = visit()
    panel, bar = page.get_by_role('region', name='Side by side'), page.locator('#bar')

    def compared():
        rows = panel.locator('tbody tr').all()
        cells = {row.locator('th').inner_text(): row.locator('td').all_inner_texts() for row in rows}
        return {
            label: [text.replace('\N{MINUS SIGN}', '-').split() for text in texts] for label, texts in cells.items()
        }

    def pick(name, section=FIRST):
        page.locator(f'{section} tr', has_text=name).first.get_by_role('button', name='Compare').click()

    assert panel.is_hidden() and bar.is_hidden()
    pick('cyclemlp_b2-m')
    assert bar.is_visible() and panel.is_hidden()
    pick('cyclemlp_b1-m')
    pick('hiremlp_base-m')
    assert compared()['box AP (%)'] == [['42.1'], ['40', '-2.1'], []]
    assert compared()['Parameters (M)'] == [['46'], ['30', '-35', '%'], ['100', '+117', '%']]
    assert panel.locator('.winner').all_inner_texts() == ['42.1', '41', '30', '200']
    # A fourth one takes the place of the last; the address keeps them.
    pick('hiremlp_small-m')
    assert compared()['mask AP (%)'] == [[], ['36.5'], ['38.5']]
    other = visit(f'#{page.url.partition("#")[2]}')
    shown = other.locator('#compare thead small').all_inner_texts()
    assert shown == ['cyclemlp_b2-m', 'cyclemlp_b1-m', 'hiremlp_small-m']
    page.get_by_role('button', name='Remove cyclemlp_b1').click()
    # Of two rankings only costs at one size are compared.
    pick(
        'mask-rcnn_r50-3x',
        THREE,
    )
    assert compared()['box AP (%)'] == [['42.1'], ['42'], ['40.9']]
    assert compared()['MACs (G, 800x1280)'] == [['250'], ['240', '-4', '%'], ['259', '+4', '%']]
    expect(page.locator('#compare-note')).to_contain_text('different rankings')
    page.get_by_role('button', name='Clear').click()
    assert panel.is_hidden() and bar.is_hidden() and 'compare' not in page.url


def test_a_row_links_what_is_known(visit):
    page = visit()

    def links(name):
        found = page.locator('tbody th', has=page.locator('.config', has_text=name)).first.locator('.links a')
        return {link.inner_text(): link.get_attribute('href') for link in found.all()}

    code = 'https://github.com/open-mmlab/mmdetection/blob/main/configs/mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py'
    assert links('mask-rcnn_r50-3x') == dict(
        config=code, weights='https://example.org/r50.pth', log='https://example.org/r50.json'
    )
    paper = 'https://arxiv.org/abs/2107.10224'
    assert links('cyclemlp_b2-m') == dict(config='../../configs/cyclemlp_b2-m.py', paper=paper)
    assert set(links('mask-rcnn_hiremlp-slim_digits')) == {'config', 'result'}
    row = page.locator('tr', has_text='mask-rcnn_r50-3x').first
    assert row.locator('.reference').inner_text() == 'reference'
    # The header is that of the site.
    site = page.get_by_role('navigation', name='Site').get_by_role('link')
    assert [link.inner_text() for link in site.all()][::4] == ['mlp_backbones', 'Leaderboard']
    expect(site.last).to_have_attribute('aria-current', 'page')


def test_a_phone(visit):
    page = visit(viewport={'width': 390, 'height': 844}, has_touch=True, is_mobile=True)
    page.locator(f'{DIGITS} summary').first.click()
    for choice in ('box AP', 'mask AP'):
        page.get_by_label('Accuracy').select_option(choice)
        assert page.evaluate('document.documentElement.scrollWidth') == 390
    # Tables scroll in their boxes, where names stay in sight; controls are large enough for fingers.
    scroll = page.locator(f'{FIRST} .scroll')
    scroll.evaluate('box => box.scrollBy(300, 0)')
    assert scroll.evaluate('box => box.scrollLeft') > 100
    name = page.locator(f'{FIRST} tbody th').first.bounding_box()
    assert 0 <= name['x'] < 20 and name['width'] < 200
    assert all(box.bounding_box()['height'] >= 36 for box in page.locator('select:visible, input:visible').all())
    svg = page.locator('#canvas svg').bounding_box()
    assert svg['x'] >= 0 and svg['x'] + svg['width'] <= 390


def focused(page: Page) -> dict:
    return page.evaluate(
        """() => {
            const { tagName, innerText } = document.activeElement;
            const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
            const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
            return { tag: tagName, text: innerText || '', ring };
        }"""
    )


def test_the_keyboard_alone(visit):
    page = visit()
    page.keyboard.press('Tab')
    assert focused(page)['text'] == 'To the rankings'
    expect(page.get_by_text('To the rankings')).to_be_in_viewport()
    page.keyboard.press('Enter')
    for _ in range(30):
        page.keyboard.press('Tab')
        now = focused(page)
        assert now['ring'], now
        if now['text'].startswith('mask AP'):
            break
    page.keyboard.press('Enter')
    assert names(page)[0] == 'hiremlp_base-m' and focused(page)['text'].startswith('mask AP')
    page.keyboard.press('Space')
    assert names(page)[0] == 'cyclemlp_b1-m'
    # The plot: one stop, arrows, a way out, and a way into the table.
    page.locator('#x').focus()
    page.keyboard.press('Tab')
    tip = page.get_by_role('tooltip')
    expect(tip).to_contain_text('cyclemlp_b1-m')
    target = page.locator('.point:focus-visible .target')
    assert target.evaluate('mark => parseFloat(getComputedStyle(mark).strokeWidth)') >= 2
    page.keyboard.press('ArrowRight')
    expect(tip).to_contain_text('hiremlp_small-m')
    page.keyboard.press('End')
    page.keyboard.press('ArrowRight')
    expect(tip).to_contain_text('cyclemlp_b2-m')
    page.keyboard.press('Escape')
    expect(tip).to_be_hidden()
    page.keyboard.press('Home')
    page.keyboard.press('Enter')
    assert focused(page)['text'] == 'cyclemlp_b1' and focused(page)['tag'] == 'A'


def luminance(color: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r'\d+', color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_light_and_dark(visit, scheme):
    page = visit(color_scheme=scheme)
    ground = luminance(page.locator('body').evaluate('body => getComputedStyle(body).backgroundColor'))
    assert ground < 0.02 if scheme == 'dark' else ground > 0.9
    for selector in (
        'body',
        '.conditions',
        'thead button',
        'tbody td',
        'tbody a',
        '.config',
        '#status',
        'select',
        '.state',
    ):
        ink = luminance(page.locator(selector).first.evaluate('element => getComputedStyle(element).color'))
        # As WCAG asks for text.
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, selector
    for point in page.locator('.point').all():
        mark = luminance(point.evaluate('element => getComputedStyle(element).fill'))
        assert (max(mark, ground) + 0.05) / (min(mark, ground) + 0.05) >= 3


def test_without_a_script(visit):
    page = visit(java_script_enabled=False)
    assert names(page) == RANKED
    assert page.locator('#controls').is_hidden() and page.locator('#figure').is_hidden()
    expect(page.get_by_text('Without JavaScript the rankings are complete')).to_be_visible()


def test_the_page_of_the_committed_results(visit, tmp_path):
    write(ROOT, tmp_path, [])
    page = visit(url=(tmp_path / 'index.html').as_uri())
    assert re.match(r'\d+ results in \d+ rankings', page.get_by_role('status').inner_text())
    for option in page.locator('#plot option').evaluate_all('options => options.map(({ value }) => value)'):
        page.locator('#plot').select_option(option)
        assert page.locator('.point').count() > 0
    looks = page.locator('th svg path').evaluate_all(
        'paths => paths.map((path) => `${path.getAttribute("class")} ${path.getAttribute("d")}`)'
    )
    with (tmp_path / 'leaderboard.csv').open() as stream:
        families = {row['family'] for row in csv.DictReader(stream)}
    assert len(set(looks)) == len(families) > 8
    links = page.locator('a').evaluate_all('links => links.map((link) => link.getAttribute("href"))')
    local = {link for link in links if not link.startswith(('http', '#'))}
    assert len(local) > 50
    for link in local:
        assert (tmp_path / link).exists(), link
    # Nothing is cut: on a desktop whole tables fit, on a phone they scroll in their boxes.
    for width in (1440, 390):
        page.set_viewport_size({'width': width, 'height': 900})
        for button in page.locator(f'{page.locator("#plot").evaluate("e => `#${e.value}`")} .pick').all()[:3]:
            button.click()
        assert page.evaluate('document.documentElement.scrollWidth') == width
        wide = '.scroll' if width == 1440 else '#compare .scroll'
        cut = f'document.querySelectorAll(":is(th, td, .site a, #bar button), {wide}")'
        over = 'e.clientWidth && e.scrollWidth > e.clientWidth + 1'
        assert page.evaluate(f'[...{cut}].filter((e) => {over}).map((e) => e.outerHTML.slice(0, 200))') == []
        page.locator('#clear').click()
