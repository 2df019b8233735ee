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
            case .unprotected: throw .noSuchRequest
            }
        }
    }

    /// `VFIO_CHECK_EXTENSION`. With `Core.lock` held.
    func checkExtension(_ number: Extension) -> Int32 {
        switch driver {
        case .type1(let type1): return type1.checkExtension(number)
        case .unprotected: return core.allowsUnprotectedGroups && number == .noIOMMU ? 1 : 0
        case .none: break
        }
        // Without a driver all are asked that could come into question.
        let unprotected = groups.first?.isUnprotected
        if unprotected != true && Type1.isKnown(extension: number) { return 1 }
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
        guard Type1.isKnown(extension: kind) else { throw .noDevice }
        let type1 = try Type1(kind: kind, core)
        for (index, group) in groups.enumerated() {
            do throws(Errno) {
                try type1.attach(group.home)
            } catch {
                for attached in groups[..<index].reversed() { type1.detach(attached.home) }
                type1.release()
                throw error
            }
        }
        driver = .type1(type1)
        for group in groups { group.attachDevices() }
    }

    /// The last group has left: the container is as new.
    func releaseDriver() {
        if case .type1(let type1) = driver { type1.release() }
        driver = .none
    }
}
