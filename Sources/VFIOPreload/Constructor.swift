/// Runs before the program, and before most other libraries.
private func construct() {
    RealCalls.findAll()
    Run.begin()
    guard Run.isActive else { return }
    PrivatePaths.begin()
    RealSignals.adoptInherited()
}

@section(".init_array") @used
private let constructor: @convention(c) () -> Void = { construct() }

/// Runs when the program calls exit(3) or returns from its main function, after what it wants done then.
private func destruct() { Run.end() }

@section(".fini_array") @used
private let destructor: @convention(c) () -> Void = { destruct() }
