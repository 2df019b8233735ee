import LinuxSystem
import VFIOABI

/// A container: groups that share one IOMMU domain (kernel.md A.3). Guarded by `Core.lock`.
///
/// Kept alive by its file and by each group in it; closing the file changes nothing for the groups.
final class Container: FileObject {
    /// What answers the requests that the container doesn't know itself.
    enum Driver {
        /// `VFIO_SET_IOMMU` hasn't come yet, or the last group has left.
        case none
        /// A real IOMMU.
        case type1(Type1)
        /// A real IOMMU of a POWER machine.
        case spapr(SPAPR)
        /// No IOMMU at all.
        case unprotected
    }

    private let core: Core
    var groups: [Group] = []
    private(set) var driver = Driver.none

    init(_ core: Core) { self.core = core }

    func control(_ request: Request, _ argument: UInt) throws(Errno) -> Int32 {
        switch request {
        case .getAPIVersion: return UAPI.version
        case .checkExtension:
            return core.lock.withLock { checkExtension(Extension(rawValue: argument)) }
        case .setIOMMU:
            try core.lock.withLock { () throws(Errno) in try setIOMMU(Extension(rawValue: argument)) }
            return 0
        default:
            // The driver does its work without the core's lock: pinning takes its time.
            switch core.lock.withLock({ driver }) {
            case .none: throw .invalid
            case .type1(let type1): return try type1.control(request, argument)
            case .spapr(let spapr): return try spapr.control(request, argument)
            case .unprotected: throw .noSuchRequest
            }
        }
    }

    /// `VFIO_CHECK_EXTENSION`. With `Core.lock` held.
    func checkExtension(_ number: Extension) -> Int32 {
        switch driver {
        case .type1(let type1): return type1.checkExtension(number)
        case .spapr(let spapr): return SPAPR.isKnown(extension: number, spapr.iommu) ? 1 : 0
        case .unprotected: return core.allowsUnprotectedGroups && number == .noIOMMU ? 1 : 0
        case .none: break
        }
        // Without a driver all are asked that could come into question.
        let unprotected = groups.first?.isUnprotected
        if unprotected != true && isKnown(extension: number) { return 1 }
        if unprotected != false && number == .noIOMMU && core.allowsUnprotectedGroups { return 1 }
        return 0
    }

    private func setIOMMU(_ kind: Extension) throws(Errno) {
        guard let first = groups.first, case .none = driver else { throw .invalid }
        if first.isUnprotected {
            guard kind == .noIOMMU && core.allowsUnprotectedGroups else { throw .noDevice }
            guard core.process.mayUseUnprotectedGroups else { throw .notPermitted }
            driver = .unprotected
            return
        }
        guard isKnown(extension: kind) else { throw .noDevice }
        let new = try makeDriver(kind)
        for (index, group) in groups.enumerated() {
            do throws(Errno) {
                try new.attach(group.home)
            } catch {
                for attached in groups[..<index].reversed() { new.detach(attached.home) }
                new.release()
                throw error
            }
        }
        driver = new
        for group in groups { group.attachDevices() }
    }

    /// Whether the machine's driver for real IOMMUs answers to a number without having any data. A kernel has one
    /// such driver.
    private func isKnown(extension number: Extension) -> Bool {
        guard let spapr = core.iommu.spapr else { return Type1.isKnown(extension: number) }
        return SPAPR.isKnown(extension: number, spapr)
    }

    private func makeDriver(_ kind: Extension) throws(Errno) -> Driver {
        guard let spapr = core.iommu.spapr else { return .type1(try Type1(kind: kind, core)) }
        return .spapr(try SPAPR(kind: kind, spapr, core))
    }

    /// The last group has left: the container is as new.
    func releaseDriver() {
        driver.release()
        driver = .none
    }
}

/// What is the same for all drivers.
extension Container.Driver {
    /// Where devices find what is mapped; nil where nothing is translated.
    var space: DMASpace? {
        switch self {
        case .type1(let type1): type1.space
        case .spapr(let spapr): spapr.space
        case .none, .unprotected: nil
        }
    }

    /// A group's devices are to use the driver's mappings.
    func attach(_ group: MachineGroup) throws(Errno) {
        switch self {
        case .type1(let type1): try type1.attach(group)
        case .spapr(let spapr): try spapr.attach(group)
        case .none, .unprotected: break
        }
    }

    /// A group's devices no longer use them.
    func detach(_ group: MachineGroup) {
        switch self {
        case .type1(let type1): type1.detach(group)
        case .spapr(let spapr): spapr.detach(group)
        case .none, .unprotected: break
        }
    }

    /// The last group has left: all mappings go.
    func release() {
        switch self {
        case .type1(let type1): type1.release()
        case .spapr(let spapr): spapr.release()
        case .none, .unprotected: break
        }
    }
}
