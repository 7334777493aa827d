//! The SVG, read back: well-formed, names apart, points inside their panels.

use roxmltree::{Document, Node};

use super::*;

/// Realistic figures: twelve lines of round trips and eight of rates.
fn example() -> Chart {
    let sizes = [64.0, 1024.0, 4096.0, 65536.0];
    let line = |label: &str, role, values: [f64; 4], tail: f64| Line {
        label: label.to_owned(),
        role,
        points: sizes.into_iter().zip(values).collect(),
        band: if tail > 1.0 { sizes.into_iter().zip(values.map(|v| v * tail)).collect() } else { vec![] },
    };
    let times = vec![
        line("cache line ping-pong", Role::Floor, [118.0, 118.0, 118.0, 118.0], 0.0),
        line("futex ping-pong", Role::Floor, [7_000.0, 7_000.0, 7_000.0, 7_000.0], 0.0),
        line("ring, spinning", Role::Subject, [124.0, 210.0, 480.0, 9_800.0], 1.6),
        line("buffer, spinning", Role::Subject, [190.0, 280.0, 610.0, 11_000.0], 1.7),
        line("ring, blocking", Role::Subject, [7_400.0, 7_600.0, 8_100.0, 21_000.0], 2.1),
        line("pipe", Role::Peer, [16_000.0, 16_500.0, 18_000.0, 61_000.0], 1.0),
        line("FIFO", Role::Peer, [16_200.0, 16_700.0, 18_100.0, 62_000.0], 1.0),
        line("POSIX message queue", Role::Peer, [15_500.0, 16_300.0, 18_900.0, f64::NAN], 1.0),
        line("Unix socket", Role::Peer, [18_800.0, 19_500.0, 22_000.0, 70_000.0], 1.0),
        line("mutex + condition variable", Role::Peer, [15_000.0, 15_100.0, 15_600.0, 24_000.0], 1.0),
        line("iceoryx2", Role::Peer, [465.0, 520.0, 800.0, 12_000.0], 1.0),
        line("ZeroMQ ipc", Role::Peer, [44_000.0, 45_000.0, 48_000.0, 110_000.0], 1.0),
    ];
    let rates = vec![
        line("memcpy", Role::Floor, [2.4e9, 9.0e9, 11e9, 12.1e9], 0.0),
        line("ring, spinning", Role::Subject, [4.1e9, 9.1e9, 10.6e9, 11.6e9], 0.0),
        line("ring, blocking", Role::Subject, [3.3e9, 8.2e9, 9.8e9, 11.2e9], 0.0),
        line("pipe", Role::Peer, [0.09e9, 0.9e9, 1.9e9, 2.8e9], 0.0),
        line("FIFO", Role::Peer, [0.09e9, 0.88e9, 1.85e9, 2.75e9], 0.0),
        line("POSIX message queue", Role::Peer, [0.064e9, 0.7e9, 1.7e9, 0.0], 0.0),
        line("Unix socket", Role::Peer, [0.1e9, 0.85e9, 1.6e9, 3.9e9], 0.0),
        line("iceoryx2", Role::Peer, [0.28e9, 3.2e9, 6.2e9, 9.4e9], 0.0),
    ];
    let panel = |title: &str, y: &str, unit, lines| Panel {
        title: title.to_owned(),
        x: ("message".to_owned(), Unit::Bytes),
        y: (y.to_owned(), unit),
        lines,
    };
    Chart {
        title: "ipcx and the kernel's own ways".to_owned(),
        subtitle:
            "AMD EPYC 7B13, 2 CPUs (virtual machine), Linux 6.1.0, near side on CPU 0, far side on CPU 1"
                .to_owned(),
        panels: vec![
            panel("Round trip", "median; shaded: up to the 99th percentile", Unit::Nanoseconds, times),
            panel("One way", "bytes per second", Unit::BytesPerSecond, rates),
        ],
    }
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).and_then(|text| text.parse().ok()).unwrap()
}

fn all<'a>(document: &'a Document<'_>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |node| node.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

/// The height and the size of each name in one panel, from above.
fn names(document: &Document<'_>, panel: &Panel) -> Vec<(f64, f64)> {
    let named = |node: &Node<'_, '_>| panel.lines.iter().any(|line| line.label == text(*node));
    let texts = all(document, "text").filter(named);
    let mut names: Vec<_> = texts.map(|node| (number(node, "y"), number(node, "font-size"))).collect();
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    names
}

#[test]
fn names_do_not_overlap_however_many_lines_end_together() {
    let mut chart = example();
    chart.panels.truncate(1);
    for count in [1, 12, 40] {
        let first = chart.panels[0].lines[0].clone();
        chart.panels[0].lines =
            (0..count).map(|n| Line { label: format!("line {n}"), ..first.clone() }).collect();
        let svg = svg(&chart).unwrap();
        let document = Document::parse(&svg).unwrap();
        let names = names(&document, &chart.panels[0]);
        assert_eq!(names.len(), count);
        assert!(names.windows(2).all(|pair| pair[1].0 - pair[0].0 > pair[0].1 + 2.0), "{names:?}");
        let height = number(document.root_element(), "height");
        assert!(names.iter().all(|(y, size)| size / 2.0 < *y && *y < height - size / 2.0), "{names:?}");
    }
}

#[test]
fn every_point_lies_inside_its_panel_and_points_that_logarithms_lack_are_left_out() {
    let chart = example();
    let svg = svg(&chart).unwrap();
    let document = Document::parse(&svg).unwrap();
    // Each panel's two axes, as polylines of two points in one grey.
    let axes: Vec<Vec<f64>> = all(&document, "polyline")
        .filter(|node| node.attribute("stroke") == Some("#666666"))
        .map(|node| {
            node.attribute("points").unwrap().split([',', ' ']).filter_map(|n| n.parse().ok()).collect()
        })
        .collect();
    assert_eq!(axes.len(), 2 * chart.panels.len());
    let inside = |x: f64, y: f64| {
        axes.chunks(2)
            .any(|pair| (pair[0][0]..=pair[0][2]).contains(&x) && (pair[1][1]..=pair[1][3]).contains(&y))
    };
    let circles: Vec<_> =
        all(&document, "circle").map(|node| (number(node, "cx"), number(node, "cy"))).collect();
    assert!(circles.iter().all(|(x, y)| inside(*x, *y)), "{circles:?} {axes:?}");
    let lines = || chart.panels.iter().flat_map(|panel| &panel.lines).filter(|line| line.role != Role::Floor);
    let sound =
        lines().flat_map(|line| &line.points).filter(|point| point.1.is_finite() && point.1 > 0.0).count();
    assert_eq!(circles.len(), sound);
    assert!(sound < lines().map(|line| line.points.len()).sum());
}

#[test]
fn a_name_has_one_colour_in_all_panels_and_no_other_has_it() {
    let svg = svg(&example()).unwrap();
    let document = Document::parse(&svg).unwrap();
    let colours = |name: &str| -> Vec<String> {
        let texts = all(&document, "text").filter(|node| text(*node) == name);
        texts.map(|node| node.attribute("fill").unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    for line in example().panels[0].lines.iter().filter(|line| line.role != Role::Floor) {
        let colours = colours(&line.label);
        assert!(colours.iter().all(|colour| *colour == colours[0]), "{}: {colours:?}", line.label);
        assert!(!seen.contains(&colours[0]), "{}", line.label);
        seen.push(colours[0].clone());
    }
}

#[test]
fn text_is_escaped_and_loses_what_xml_cannot_say() {
    let mut chart = example();
    chart.title = "<b> & \"c\" \u{1}µ]]>".to_owned();
    let svg = svg(&chart).unwrap();
    let document = Document::parse(&svg).unwrap();
    assert_eq!(all(&document, "text").map(text).next(), Some("<b> & \"c\" µ]]>"));
}

#[test]
fn nothing_to_draw_is_drawn() {
    let mut chart = example();
    let bare = |points| Line { label: "bare".to_owned(), role: Role::Subject, points, band: vec![] };
    chart.panels[0].lines = vec![];
    chart.panels[1].lines = vec![bare(vec![]), bare(vec![(64.0, f64::INFINITY)]), bare(vec![(0.0, -1.0)])];
    let unnamed = svg(&chart).unwrap();
    assert!(!unnamed.contains("bare") && unnamed.contains("One way"));
    Document::parse(&unnamed).unwrap();
    chart.panels[1].lines = vec![bare(vec![(64.0, 100.0)])];
    let document = svg(&chart).unwrap();
    assert_eq!(all(&Document::parse(&document).unwrap(), "circle").count(), 1);
    chart.panels.clear();
    Document::parse(&svg(&chart).unwrap()).unwrap();
}
