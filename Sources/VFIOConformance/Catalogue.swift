/// All cases there are.
public enum Catalogue {
    /// In the order of the specification's sections.
    public static let cases: [Case] = [
        coreCases, compatCases, type1Cases, windowCases, regionCases, interruptCases, topologyCases, busCases,
        migrationCases, mediatedCases,
    ].flatMap { $0 }.enumerated().sorted { left, right in
        let (a, b) = (sectionKey(left.element.section), sectionKey(right.element.section))
        return a == b ? left.offset < right.offset : a < b
    }.map(\.element)

    /// Sorts "A.10" behind "A.9".
    private static func sectionKey(_ section: String) -> (String, Int) {
        let parts = section.split(separator: ".", maxSplits: 1)
        return (String(parts.first ?? ""), Int((parts.last ?? "").prefix { $0.isNumber }) ?? 0)
    }
}
