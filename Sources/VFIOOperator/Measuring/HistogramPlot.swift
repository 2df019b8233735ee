/// One distribution as a picture: bars on a logarithmic axis of time, with the percentiles marked, and all of it in a
/// table for those who don't see it.
///
/// Bars and lines are SVG that is stretched to the room there is; words stay HTML, so that they keep their size.
struct HistogramPlot {
    /// The height of the picture's own coordinates; the width is 1,000.
    private static let height = 200.0

    private let distribution: Distribution
    private let axis: TimeAxis
    private let bars: TimeBars

    init(_ distribution: Distribution, on axis: TimeAxis) {
        self.distribution = distribution
        self.axis = axis
        bars = TimeBars(distribution, on: axis)
    }

    /// The picture with its words.
    var html: String {
        let note = distribution.note.isEmpty ? "" : "<p>\(SVGCanvas.escaped(distribution.note))</p>"
        return """
            <figure>
            <figcaption><h3>\(SVGCanvas.escaped(distribution.title))</h3>\(note)</figcaption>
            <div class="chart">
            \(tags)\(picture)\(Self.axisText(axis))</div>
            \(table)</figure>

            """
    }

    // MARK: words

    /// What a line means, each on a row of its own: they never run into each other.
    private var tags: String {
        var text = "<div class=\"tags\" aria-hidden=\"true\">\n"
        for (row, quantile) in distribution.quantiles.enumerated() {
            let place = axis.place(quantile.nanoseconds)
            let side = place > 0.6 ? "left" : "right"
            text +=
                "<div class=\"tag\"><span class=\"\(side) q\(row)\" style=\"\(Self.position(place, side))\">"
                + "<b>\(SVGCanvas.escaped(quantile.name))</b> \(DurationText.of(quantile.nanoseconds))</span></div>\n"
        }
        return text + "</div>\n"
    }

    private static func position(_ place: Double, _ side: String) -> String {
        side == "left" ? "right:\(percent(1 - place))" : "left:\(percent(place))"
    }

    /// The numbers beneath a picture.
    static func axisText(_ axis: TimeAxis) -> String {
        var text = "<div class=\"axis\" aria-hidden=\"true\">"
        for tick in axis.ticks {
            let place = axis.place(tick.nanoseconds)
            // What would stand half outside isn't written.
            guard place > 0.03, place < 0.97 else { continue }
            text +=
                "<span\(tick.isMinor ? " class=\"minor\"" : "") style=\"left:\(percent(place))\">"
                + "\(tickText(tick.nanoseconds))</span>"
        }
        return text + "</div>\n"
    }

    /// A round time: "10 µs", "1.5 ms".
    private static func tickText(_ nanoseconds: Double) -> String {
        let text = DurationText.of(nanoseconds)
        guard let space = text.firstIndex(of: " "), text[..<space].contains(".") else { return text }
        var number = text[..<space]
        while number.last == "0" { number.removeLast() }
        if number.last == "." { number.removeLast() }
        return String(number) + text[space...]
    }

    /// A share of the width.
    static func percent(_ share: Double) -> String { DurationText.digits(max(0, share) * 100) + "%" }

    /// A number of things: "1,234".
    static func grouped(_ value: UInt64) -> String {
        var digits = String(value)
        var groups: [String] = []
        while digits.utf8.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return ([digits] + groups).joined(separator: ",")
    }

    private func share(_ count: UInt64) -> String {
        let total = max(1, distribution.count)
        let percent = Double(count) * 100 / Double(total)
        return percent < 0.01 ? "less than 0.01 %" : "\(DurationText.digits(percent)) %"
    }

    // MARK: the picture

    private var picture: String {
        let words =
            "\(distribution.title): \(Self.grouped(distribution.count)) \(distribution.noun); "
            + distribution.quantiles.map { "\($0.name) \(DurationText.of($0.nanoseconds))" }.joined(
                separator: ", ")
        var text =
            "<svg viewBox=\"0 0 1000 \(Int(Self.height))\" preserveAspectRatio=\"none\" role=\"img\" "
            + "aria-label=\"\(SVGCanvas.escaped(words))\">\n"
        for tick in axis.ticks {
            text += line(axis.place(tick.nanoseconds), tick.isMinor ? "grid minor" : "grid")
        }
        for bar in bars.bars { text += draw(bar) }
        for (row, quantile) in distribution.quantiles.enumerated() {
            text += line(axis.place(quantile.nanoseconds), "mark q\(row)")
        }
        return text + "</svg>\n"
    }

    private func line(_ place: Double, _ style: String) -> String {
        let x = Self.coordinate(place * 1000)
        return "<line class=\"\(style)\" x1=\"\(x)\" x2=\"\(x)\" y1=\"0\" y2=\"\(Int(Self.height))\"/>\n"
    }

    private func draw(_ bar: TimeBars.Bar) -> String {
        let left = axis.place(bar.from) * 1000
        let right = axis.place(bar.to) * 1000
        // The smallest count can still be seen.
        let height = max(3, Double(bar.count) / Double(max(1, bars.most)) * (Self.height - 4))
        let x = Self.coordinate(left)
        let width = Self.coordinate(max(1, right - left))
        let words =
            "\(DurationText.of(bar.from)) to \(DurationText.of(bar.to)): \(Self.grouped(bar.count)) "
            + "\(distribution.noun), \(share(bar.count))"
        return
            "<g><title>\(SVGCanvas.escaped(words))</title>"
            + "<rect class=\"hit\" x=\"\(x)\" y=\"0\" width=\"\(width)\" height=\"\(Int(Self.height))\"/>"
            + "<rect class=\"bar\" x=\"\(x)\" y=\"\(Self.coordinate(Self.height - height))\" width=\"\(width)\" "
            + "height=\"\(Self.coordinate(height))\"/></g>\n"
    }

    private static func coordinate(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }

    // MARK: the table

    private var table: String {
        var text =
            "<details><summary>\(Self.grouped(distribution.count)) \(SVGCanvas.escaped(distribution.noun)) "
            + "in numbers</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">from</th>"
            + "<th scope=\"col\">to</th><th scope=\"col\" class=\"number\">\(SVGCanvas.escaped(distribution.noun))</th>"
            + "<th scope=\"col\" class=\"number\">share</th><th scope=\"col\" class=\"number\">up to here</th></tr>"
            + "</thead>\n<tbody>\n"
        var sum: UInt64 = 0
        for bar in bars.bars {
            sum += bar.count
            text +=
                "<tr><td>\(DurationText.of(bar.from))</td><td>\(DurationText.of(bar.to))</td>"
                + "<td class=\"number\">\(Self.grouped(bar.count))</td>"
                + "<td class=\"number\">\(share(bar.count))</td><td class=\"number\">\(share(sum))</td></tr>\n"
        }
        return text + "</tbody>\n</table></div></details>\n"
    }
}

/// Several distributions, a line for each: from the shortest time to the longest, thick where nine of ten are, with a
/// dot at the median and a stroke at what it is compared with.
struct OverviewPlot {
    private let distributions: [Distribution]
    private let axis: TimeAxis

    init(_ distributions: [Distribution], on axis: TimeAxis) {
        self.distributions = distributions
        self.axis = axis
    }

    var html: String {
        let hasReference = distributions.contains { $0.reference != nil }
        var text =
            "<p class=\"hint\">A dot is the median, the thick line reaches to p90, the thin one from the shortest to the "
            + "longest time" + (hasReference ? "; the upright stroke is what it is compared with." : ".")
            + "</p>\n<div class=\"overview\" role=\"list\">\n"
        for one in distributions { text += row(one) }
        text +=
            "<div class=\"row\" role=\"presentation\"><span></span><div>\(HistogramPlot.axisText(axis))</div></div>\n"
        return text + "</div>\n"
    }

    private func row(_ one: Distribution) -> String {
        let first = axis.place(one.buckets.first?.from ?? 1)
        let last = axis.place(one.buckets.last?.to ?? 1)
        func time(_ name: String) -> Double? { one.quantiles.first { $0.name == name }?.nanoseconds }
        var words =
            one.title + ": "
            + one.quantiles.map { "\($0.name) \(DurationText.of($0.nanoseconds))" }
            .joined(separator: ", ")
        var marks = span("thin", from: first, to: last)
        if let median = time("p50") {
            if let ninety = time("p90") {
                marks += span("thick", from: first, to: axis.place(ninety))
            }
            marks += "<i class=\"dot\" style=\"left:\(HistogramPlot.percent(axis.place(median)))\"></i>"
        }
        if let reference = one.reference {
            marks +=
                "<i class=\"reference\" style=\"left:\(HistogramPlot.percent(axis.place(reference.nanoseconds)))\"></i>"
            words += "; compared with \(reference.name), \(DurationText.of(reference.nanoseconds))"
        }
        let title = SVGCanvas.escaped(words)
        return
            "<div class=\"row\" role=\"listitem\" aria-label=\"\(title)\" title=\"\(title)\">"
            + "<span>\(SVGCanvas.escaped(one.title))</span><div class=\"track\">\(marks)</div></div>\n"
    }

    private func span(_ style: String, from: Double, to: Double) -> String {
        "<i class=\"\(style)\" style=\"left:\(HistogramPlot.percent(from));right:\(HistogramPlot.percent(1 - to))\"></i>"
    }
}
