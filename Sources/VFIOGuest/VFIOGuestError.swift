import LinuxSystem
import VFIO

/// What fails in the guest layer is told as everywhere above the host seam.
public typealias VFIOGuestError = VFIOError
