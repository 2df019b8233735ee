/// Boxes, lines and texts of a picture, as SVG 1.1. Whatever text is drawn is escaped.
struct SVGCanvas {
    /// How a text looks.
    enum Text: String {
        case title
        case strong
        case body
        case small
        case smallRight
        case centred
        case mono
        case monoRight
    }

    /// How a box looks.
    enum Box: String {
        case readyGroup
        case heldGroup
        case blockedGroup
        case plainGroup
        case device
        case process
        /// A container or an iommufd.
        case context
        case vfioDriver
        case kernelDriver
        case otherDriver
        case noDriver
    }

    /// How all of it looks: in a picture of its own there is no other place to say it.
    private static let style = """
        text { font-family: "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; font-size: 13px; fill: #1c2430; }
        text.title { font-size: 22px; font-weight: bold; }
        text.strong { font-weight: bold; font-size: 14px; }
        text.small { font-size: 12px; fill: #55606e; }
        text.smallRight { font-size: 12px; fill: #55606e; text-anchor: end; }
        text.centred { font-size: 12px; text-anchor: middle; }
        text.mono, text.monoRight { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; }
        text.monoRight { font-size: 12px; text-anchor: end; }
        rect { stroke-width: 1.2; rx: 6px; }
        rect.readyGroup { fill: #eef8f0; stroke: #3a9a58; }
        rect.heldGroup { fill: #fff9e8; stroke: #d0a32c; }
        rect.blockedGroup { fill: #fdf0ee; stroke: #cc4b37; }
        rect.plainGroup { fill: #f5f6f8; stroke: #b6bec9; }
        rect.device { fill: #ffffff; stroke: #d4dae1; }
        rect.process { fill: #fff9e8; stroke: #d0a32c; }
        rect.context { fill: #f6e5b4; stroke: none; }
        rect.vfioDriver { fill: #cdeed6; stroke: #3a9a58; }
        rect.kernelDriver { fill: #f8d5cf; stroke: #cc4b37; }
        rect.otherDriver { fill: #dfe8f5; stroke: #6b8cb8; }
        rect.noDriver { fill: #ffffff; stroke: #b6bec9; stroke-dasharray: 4 3; }
        path { fill: none; stroke: #d0a32c; stroke-width: 1.8; }
        """

    private var lines = ""
    private var shapes = ""

    /// Draws a text.
    /// - Parameter limit: the most characters that are drawn; the whole text then shows under the pointer.
    mutating func text(_ text: String, x: Int, y: Int, _ style: Text, to limit: Int = 120) {
        shapes += "<text class=\"\(style.rawValue)\" x=\"\(x)\" y=\"\(y)\">"
        if text.count > limit {
            shapes += "<title>\(Self.escaped(text))</title>\(Self.escaped(String(text.prefix(limit - 1))))…"
        } else {
            shapes += Self.escaped(text)
        }
        shapes += "</text>\n"
    }

    mutating func box(x: Int, y: Int, width: Int, height: Int, _ style: Box) {
        shapes +=
            "<rect class=\"\(style.rawValue)\" x=\"\(x)\" y=\"\(y)\" width=\"\(width)\" height=\"\(height)\" rx=\"6\"/>\n"
    }

    /// A line that leaves and arrives sideways.
    mutating func line(fromX: Int, fromY: Int, toX: Int, toY: Int) {
        let middle = (fromX + toX) / 2
        lines +=
            "<path d=\"M \(fromX) \(fromY) C \(middle) \(fromY) \(middle) \(toY) \(toX) \(toY)\"/>\n"
    }

    /// The whole file.
    func document(width: Int, height: Int, title: String) -> String {
        """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)">
        <title>\(Self.escaped(title))</title>
        <style>
        \(Self.style)
        </style>
        <rect x="0" y="0" width="\(width)" height="\(height)" fill="#ffffff"/>
        \(shapes)\(lines)</svg>

        """
    }

    /// A text as XML takes it; what XML can't hold becomes a question mark.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case _
            where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
                || scalar.value & 0xfffe == 0xfffe:
                escaped += "?"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
