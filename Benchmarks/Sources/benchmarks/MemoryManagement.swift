import Glibc
import Synchronization

/// What the process does to manage memory, in all threads.
///
/// The Swift runtime looks whether it is to call functions of somebody else's instead of its own, which is meant
/// for instruments.
struct MemoryManagement {
    /// Retains and releases of Swift objects.
    let references: UInt64
    /// Swift objects made.
    let objects: UInt64

    /// What happens while `body` runs, which must not work with strings: the runtime's way for those who watch
    /// takes short ones for objects.
    /// - Returns: nil where the runtime doesn't let itself be watched.
    static func during(_ body: () throws -> Void) rethrows -> MemoryManagement? {
        guard var runtime = Runtime() else { return nil }
        runtime.exchange()
        defer { runtime.exchange() }
        let references = Counters.references.load(ordering: .relaxed)
        let objects = Counters.objects.load(ordering: .relaxed)
        try body()
        return MemoryManagement(
            references: Counters.references.load(ordering: .relaxed) - references,
            objects: Counters.objects.load(ordering: .relaxed) - objects)
    }
}

private enum Counters {
    static let references = Atomic<UInt64>(0)
    static let objects = Atomic<UInt64>(0)

    // SAFETY: written by the main thread alone, before the runtime calls a function that reads them.
    nonisolated(unsafe) static var retain: Runtime.Retain? = nil
    nonisolated(unsafe) static var release: Runtime.Release? = nil
    nonisolated(unsafe) static var allocate: Runtime.Allocate? = nil
}

/// The runtime's variables, and what is put in their place.
@safe private struct Runtime {
    typealias Retain = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    typealias Release = @convention(c) (UnsafeMutableRawPointer?) -> Void
    typealias Allocate = @convention(c) (UnsafeRawPointer?, Int, Int) -> UnsafeMutableRawPointer?

    // SAFETY: variables of the runtime's with these types. Whoever reads them meanwhile finds either function, and
    // both do what is to be done.
    private let retainPlace: UnsafeMutablePointer<Retain>
    private let releasePlace: UnsafeMutablePointer<Release>
    private let allocatePlace: UnsafeMutablePointer<Allocate>
    private let isWatched: UnsafeMutablePointer<Bool>
    private var retain: Retain = { object in
        Counters.references.wrappingAdd(1, ordering: .relaxed)
        return unsafe Counters.retain.unsafelyUnwrapped(object)
    }
    private var release: Release = { object in
        Counters.references.wrappingAdd(1, ordering: .relaxed)
        unsafe Counters.release.unsafelyUnwrapped(object)
    }
    private var allocate: Allocate = { type, byteCount, alignment in
        Counters.objects.wrappingAdd(1, ordering: .relaxed)
        return unsafe Counters.allocate.unsafelyUnwrapped(type, byteCount, alignment)
    }

    init?() {
        guard
            let retainPlace = unsafe Self.place("_swift_retain", Retain.self),
            let releasePlace = unsafe Self.place("_swift_release", Release.self),
            let allocatePlace = unsafe Self.place("_swift_allocObject", Allocate.self),
            let isWatched = unsafe Self.place(
                "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly", Bool.self)
        else { return nil }
        unsafe self.retainPlace = retainPlace
        unsafe self.releasePlace = releasePlace
        unsafe self.allocatePlace = allocatePlace
        unsafe self.isWatched = isWatched
        unsafe Counters.retain = retainPlace.pointee
        unsafe Counters.release = releasePlace.pointee
        unsafe Counters.allocate = allocatePlace.pointee
    }

    /// Puts the functions that count in the place of the runtime's, or those back.
    mutating func exchange() {
        unsafe swap(&retain, &retainPlace.pointee)
        unsafe swap(&release, &releasePlace.pointee)
        unsafe swap(&allocate, &allocatePlace.pointee)
        unsafe isWatched.pointee.toggle()
    }

    /// A variable of the runtime's.
    @unsafe private static func place<T>(_ name: String, _ type: T.Type) -> UnsafeMutablePointer<T>? {
        // SAFETY: a null handle stands for the whole program.
        guard let address = unsafe dlsym(nil, name) else { return nil }
        return unsafe address.assumingMemoryBound(to: T.self)
    }
}
