import LinuxSystem
import SoftwareHost

/// The IOMMU of a POWER machine:
///
/// ```json
/// { "type": "spapr", "platform": "powernv", "pageSizes": ["4K", "64K"], "defaultWindow": "2G",
///   "dynamicWindows": 2, "levels": 5, "errorHandling": true }
/// ```
///
/// All keys but "type" may be left out; a "defaultWindow" of 0 is none.
extension MachineFile {
    /// What else it has besides the keys of every IOMMU.
    static let spaprKeys = ["platform", "defaultWindow", "dynamicWindows", "levels", "errorHandling"]

    /// Reads what makes a POWER machine's IOMMU.
    /// - Parameter pageSizes: those that were given; nil for the usual ones.
    static func spapr(
        _ object: StrictObject, pageSizes: IOMMU.PageSizes?
    ) throws(StrictObject.Problem) -> SPAPRIOMMU {
        try refuse(type1Keys, in: object, kind: "type1")
        var iommu: SPAPRIOMMU
        let platform = try object.text("platform") ?? "powernv"
        switch Word(platform) {
        case "powernv": iommu = SPAPRIOMMU(.powerNV)
        case "pseries": iommu = SPAPRIOMMU(.pSeries)
        default:
            throw object.problem("platform", "is \"\(platform)\"; known are \"powernv\" and \"pseries\"")
        }
        if let pageSizes { iommu.pageSizes = pageSizes }
        if let size = try object.size("defaultWindow") {
            guard let size = UInt32(exactly: size) else {
                throw object.problem("defaultWindow", "must be below 4 GiB")
            }
            iommu.defaultWindowByteCount = size
        }
        iommu.dynamicWindows = try count(object, "dynamicWindows") ?? iommu.dynamicWindows
        iommu.levels = try count(object, "levels") ?? iommu.levels
        iommu.hasErrorHandling = try object.bool("errorHandling") ?? iommu.hasErrorHandling
        return iommu
    }

    /// A small number; whether it is possible is the machine's to say.
    private static func count(_ object: StrictObject, _ key: String) throws(StrictObject.Problem) -> Int? {
        guard let value = try object.size(key) else { return nil }
        guard value < 256 else { throw object.problem(key, "is too large") }
        return Int(value)
    }

    /// Refuses what only another kind of IOMMU has.
    static func refuse(
        _ keys: [String], in object: StrictObject, kind: String
    ) throws(StrictObject.Problem) {
        for key in keys where object.has(key) {
            throw object.problem(key, "is for an IOMMU of type \"\(kind)\" only")
        }
    }
}
