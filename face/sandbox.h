// After close_sandbox() this process can think, read and write the descriptors it has, take memory, and end; nothing else.
#pragma once

bool close_sandbox();
