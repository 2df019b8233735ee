import VFIOABI

/// The names of requests in the text of a ``FaultRule``: the short ones of ``VFIOABI/RequestName``, with the kinds of
/// files where a number means this.
struct FaultRequestName {
    let text: StaticString
    let request: Request
    /// Where a number means several things, the kinds of files where it means this.
    let files: FaultScope.Files

    static var all: [FaultRequestName] {
        RequestName.all.compactMap { name in
            // A container that takes both kinds can't tell these from their namesakes by the number.
            if name.isSPAPR { return nil }
            switch name.file {
            // What containers answer, and iommufds that take their place.
            case .container:
                return FaultRequestName(
                    text: name.shortName, request: name.request, files: [.containers, .iommufds])
            case .group:
                return FaultRequestName(text: name.shortName, request: name.request, files: .groups)
            case .device:
                return FaultRequestName(text: name.shortName, request: name.request, files: .devices)
            case .iommufd:
                return FaultRequestName(text: name.shortName, request: name.request, files: .iommufds)
            // Faults know no such files.
            case .migration: return nil
            }
        }
    }
}
