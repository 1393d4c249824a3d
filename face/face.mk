# muster-face, the sandboxed helper that decodes pictures and, where OpenCV's headers are, compares faces ([face] in
# tools/packages.txt; FACE=0 builds it without).  OpenCV's core, imgproc and dnn alone bring no pkg-config file.
CXX ?= c++
OPENCV_INCLUDE ?= /usr/include/opencv4
FACE ?= $(if $(wildcard $(OPENCV_INCLUDE)/opencv2/dnn.hpp),1,0)
FACE_CXXFLAGS := -std=c++17 $(OPT) $(CFLAGS) -Wall -Wextra -Wshadow $(if $(WERROR),-Werror) -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2 \
	-Isrc $(if $(filter 1,$(FACE)),-DWITH_OPENCV -isystem $(OPENCV_INCLUDE))
FACE_LIBS := -ljpeg -lpng -lseccomp -lcrypto $(if $(filter 1,$(FACE)),-lopencv_dnn -lopencv_imgproc -lopencv_core)
FACE_OBJS := $(patsubst face/%.cpp,$(B)/face/%.o,$(sort $(wildcard face/*.cpp)))

# Built again when OpenCV comes or goes.
$(B)/face/with-$(FACE):
	@mkdir -p $(@D) && rm -f $(B)/face/with-* && touch $@
$(B)/face/%.o: face/%.cpp $(B)/face/with-$(FACE)
	$(CXX) $(FACE_CXXFLAGS) -MMD -MP -c -o $@ $<
$(B)/muster-face: $(FACE_OBJS)
	$(CXX) -pie -Wl,-z,relro,-z,now -o $@ $^ $(FACE_LIBS)
-include $(FACE_OBJS:.o=.d)

# These tests ask it.
$(B)/tests/net_face $(B)/tests/api_campus_face $(B)/tests/api_campus_liveness: | $(B)/muster-face
# It turns faces itself.
$(B)/tests/api_campus_liveness $(B)/torture/api_campus_liveness: ALL_LIBS += -ljpeg
