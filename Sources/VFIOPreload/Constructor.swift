/// Runs before the program, and before most other libraries.
private func construct() {
    RealCalls.findAll()
    Run.begin()
    if Run.isActive { PrivatePaths.begin() }
}

@section(".init_array") @used
private let constructor: @convention(c) () -> Void = { construct() }
