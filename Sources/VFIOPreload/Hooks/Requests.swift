import CLinux
import LinuxSystem
import VFIOABI
import VFIOHost

// ioctl(2): requests to our handles.

/// Stands in front of `ioctl`.
@c(ioctl) public func hookedControl(_ number: Int32, _ request: UInt, _ argument: UInt) -> Int32 {
    guard Handles.contains(number) else {
        return RealCalls.call(.ioctl, as: RealCalls.Control.self)(number, request, argument)
    }
    // New handles that requests make are known by then (`NewHandles`).
    return Answer.int { () throws(Errno) -> Int32 in
        // The kernel looks at the low half only.
        let request = UInt32(truncatingIfNeeded: request)
        let isAboutRegion = request == UInt32(truncatingIfNeeded: Request.deviceGetRegionInfo.rawValue)
        let room = isAboutRegion ? RegisterMapping.room(argument) : 0
        let result = try Run.present.control(number, request, argument)
        if isAboutRegion { try RegisterMapping.offer(number, argument, room: room) }
        return result
    }
}
